package daemon

import "time"

// sightings remembers since when something has looked wrong, pass by pass: one
// look may fall into the middle of a verb's work.
type sightings struct{ before, now map[string]time.Duration }

// age returns for how long that has looked wrong, as of the time since boot.
func (s *sightings) age(what string, at time.Duration) time.Duration {
	since, known := s.before[what]
	if !known {
		since = at
	}
	if s.now == nil {
		s.now = map[string]time.Duration{}
	}
	s.now[what] = since
	return at - since
}

// turn ends a pass: what has not been seen in it looks right again.
func (s *sightings) turn() { s.before, s.now = s.now, nil }
