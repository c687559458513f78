package leg

import "errors"

// Shortfall is what a leg has to do without on this machine: all else of it
// stands, and its caller may warn and go on.
type Shortfall struct { //nolint:errname // a warning to most callers: nothing is wrong with what stands
	// What is missing, and what does not work without it.
	What string
	Err  error
}

func (s *Shortfall) Error() string { return s.What + ": " + s.Err.Error() }

func (s *Shortfall) Unwrap() error { return s.Err }

// mere returns a shortfall if the error is nothing but such, else nil.
func mere(err error) *Shortfall {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		short, _ := errors.AsType[*Shortfall](err)
		return short
	}
	var short *Shortfall
	for _, e := range joined.Unwrap() {
		if short = mere(e); short == nil {
			return nil
		}
	}
	return short
}
