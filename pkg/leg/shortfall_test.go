package leg

import (
	"errors"
	"fmt"
	"testing"
)

func TestAFailureAmongShortfallsIsNone(t *testing.T) {
	short, failure := error(&Shortfall{"something", errors.New("not here")}), errors.New("no")
	for _, err := range []error{short, fmt.Errorf("leg: %w", short), errors.Join(short, short), errors.Join(short)} {
		if !mere(err) {
			t.Errorf("%q is none", err)
		}
	}
	for _, err := range []error{nil, failure, errors.Join(short, failure), errors.Join(failure, short), errors.Join(errors.Join(short, failure), short), fmt.Errorf("leg: %w", errors.Join(short, failure))} {
		if mere(err) {
			t.Errorf("%q is one", err)
		}
	}
}
