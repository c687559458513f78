package statefile_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/statefile"
)

// deedEnv makes this program one that does a deed and ends: "verb kind folder".
const deedEnv = "PODLAN_STATEFILE_DEED"

func TestMain(m *testing.M) {
	deed := strings.Fields(os.Getenv(deedEnv))
	if len(deed) == 0 {
		os.Exit(m.Run())
	}
	if err := do(deed[0], deed[1], deed[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// do puts x anew, or deletes it, in a folder that is durable or volatile.
func do(verb, kind, folder string) error {
	dir, err := openers()[kind](folder)
	if err != nil {
		return err
	}
	if os.Getenv(tracedEnv) != "" {
		if err := askToBeTraced(); err != nil {
			return err
		}
	}
	if verb == "delete" {
		return dir.Delete("x")
	}
	return dir.Put("x", value{N: 2})
}

func openers() map[string]func(string) (statefile.Dir, error) {
	return map[string]func(string) (statefile.Dir, error){"durable": statefile.Open, "volatile": statefile.OpenVolatile}
}
