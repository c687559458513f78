package leg

// Shortfall is what a leg has to do without on this machine: all else of it
// stands, and its caller may warn and go on.
type Shortfall struct {
	// What is missing, and what does not work without it.
	What string
	Err  error
}

func (s *Shortfall) Error() string { return s.What + ": " + s.Err.Error() }

func (s *Shortfall) Unwrap() error { return s.Err }
