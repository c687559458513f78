package leg

// Shortfall is what a leg has to do without on this machine: all else of it
// stands, and its caller may warn and go on.
type Shortfall struct { //nolint:errname // a warning to most callers: nothing is wrong with what stands
	// What is missing, and what does not work without it.
	What string
	Err  error
}

func (s *Shortfall) Error() string { return s.What + ": " + s.Err.Error() }

func (s *Shortfall) Unwrap() error { return s.Err }

// Shortfalls returns those that the error joins; none if anything else is in it.
func Shortfalls(err error) []*Shortfall {
	switch e := err.(type) { //nolint:errorlint // taken apart here
	case *Shortfall:
		return []*Shortfall{e}
	case interface{ Unwrap() error }:
		return Shortfalls(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*Shortfall
		for _, part := range e.Unwrap() {
			some := Shortfalls(part)
			if some == nil {
				return nil
			}
			all = append(all, some...)
		}
		return all
	}
	return nil
}

// mere tells whether the error is nothing but shortfalls.
func mere(err error) bool { return len(Shortfalls(err)) > 0 }
