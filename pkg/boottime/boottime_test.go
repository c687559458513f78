package boottime_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/boottime"
)

func TestNowIsTheKernelsUptime(t *testing.T) {
	uptime := func() time.Duration {
		data, err := os.ReadFile("/proc/uptime")
		if err != nil {
			t.Fatal(err)
		}
		seconds, err := strconv.ParseFloat(strings.Fields(string(data))[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second))
	}
	const grain = 10 * time.Millisecond // of /proc/uptime
	before, now, after := uptime(), boottime.Now(), uptime()
	if now < before-grain || now > after+grain {
		t.Errorf("%s is not between %s and %s", now, before, after)
	}
}

func TestTheBootIDIsOneOfThisBoot(t *testing.T) {
	one, err := boottime.BootID()
	if err != nil {
		t.Fatal(err)
	}
	two, err := boottime.BootID()
	if err != nil || one != two || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(one) {
		t.Errorf("%q and %q, %v", one, two, err)
	}
}
