package lease_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// TestAYearOfRenewals lets time go by. By default it is a month of 20 clients;
// with PODLAN_SOAK=1 a year of 1,000. PODLAN_SOAK_CLIENTS and PODLAN_SOAK_DAYS
// say otherwise. Leases are of a day, since a year of those of an hour would be
// 17 million renewals.
func TestAYearOfRenewals(t *testing.T) {
	clients, days := 20, 30
	if os.Getenv("PODLAN_SOAK") != "" {
		clients, days = 1000, 365
	}
	clients, days = fromEnv(t, "PODLAN_SOAK_CLIENTS", clients), fromEnv(t, "PODLAN_SOAK_DAYS", days)
	on(t, func(n *node) {
		n.set(func() { n.terms, n.forget, n.strict = 24*time.Hour, true, true })
		n.wantAll(n.crowd(0, clients))
		for range days {
			n.pass(24 * time.Hour)
		}
		n.wantActive(clients)
		for _, l := range n.keeper.List() {
			if l.State != leaseapi.StateBound || time.Until(l.ExpiresAt) < 11*time.Hour {
				n.Errorf("%s is %s until %s", l.Key, l.State, l.ExpiresAt)
			}
		}
		if c := n.changed(); len(c) != 0 {
			n.Errorf("%d changes, the first: %+v", len(c), c[0])
		}
		n.set(func() {
			renewals := n.count[dhcpv4.MessageTypeRequest] - clients
			if least, most := clients*(days-1)*2, clients*days*24/10; renewals < least || renewals > most {
				n.Errorf("%d renewals, %d to %d wanted", renewals, least, most)
			}
			n.Logf("%d renewals of %d clients in %d days", renewals, clients, days)
			if got := n.count[dhcpv4.MessageTypeDiscover]; got != clients {
				n.Errorf("%d DISCOVER, %d wanted", got, clients)
			}
		})
	})
}

func fromEnv(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(name, err)
	}
	return number
}
