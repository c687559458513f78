package attachment_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
)

// r is a range of VIDs, or one.
func r(vids ...uint16) netconf.VLANRange {
	return netconf.VLANRange{First: vids[0], Last: vids[len(vids)-1]}
}

func inVLAN(id, bridge string, vlan uint16, trunk ...netconf.VLANRange) attachment.Record {
	return attachment.Record{
		Key: attachment.Key{Network: "lan", ContainerID: id, IfName: "eth0"}, State: attachment.Ready,
		Bridge: bridge, Uplink: "eth1", Filtering: true, VLAN: vlan, Trunk: trunk,
	}
}

func granted(rec attachment.Record, g segment.Grant) attachment.Record {
	rec.Granted = g
	return rec
}

func TestWhoComesLaterClaimsWhatWasGrantedForItsVLANsToo(t *testing.T) {
	of20 := segment.Grant{Uplink: []netconf.VLANRange{r(20)}, Bridge: []netconf.VLANRange{r(20)}}
	cases := map[string]struct {
		before  []attachment.Record
		rec     attachment.Record
		missing segment.Grant
		want    segment.Grant
	}{
		"the first": {nil, inVLAN("c1", "lan0", 20), of20, of20},
		"one whose VLAN stood there already": {
			[]attachment.Record{inVLAN("c0", "lan0", 20)}, inVLAN("c1", "lan0", 20), segment.Grant{}, segment.Grant{},
		},
		"the second in the VLAN": {
			[]attachment.Record{granted(inVLAN("c0", "lan0", 20), of20)}, inVLAN("c1", "lan0", 20), segment.Grant{}, of20,
		},
		"one in another VLAN": {
			[]attachment.Record{granted(inVLAN("c0", "lan0", 20), of20)}, inVLAN("c1", "lan0", 30), segment.Grant{}, segment.Grant{},
		},
		"one on another bridge": {
			[]attachment.Record{granted(inVLAN("c0", "lan1", 20), of20)}, inVLAN("c1", "lan0", 20), segment.Grant{}, segment.Grant{},
		},
		"a trunk over it, for the uplink alone": {
			[]attachment.Record{granted(inVLAN("c0", "lan0", 20), of20)},
			inVLAN("c1", "lan0", 0, r(19, 22)),
			segment.Grant{Uplink: []netconf.VLANRange{r(21)}},
			segment.Grant{Uplink: []netconf.VLANRange{r(20, 21)}},
		},
		"itself, begun anew": {
			[]attachment.Record{granted(inVLAN("c1", "lan0", 20), of20)}, inVLAN("c1", "lan0", 20), segment.Grant{}, segment.Grant{},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			store, _ := open(t)
			for _, rec := range c.before {
				must(t, store.Put(rec))
			}
			if diff := cmp.Diff(c.want, store.Claim(c.rec, c.missing).Granted); diff != "" {
				t.Errorf("granted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyWhatIsGrantedIsOwed(t *testing.T) {
	rec := granted(inVLAN("c1", "lan0", 20, r(30, 39)), segment.Grant{Uplink: []netconf.VLANRange{r(30, 39)}})
	missing := segment.Grant{Uplink: []netconf.VLANRange{r(20), r(35)}, Bridge: []netconf.VLANRange{r(20)}}
	if diff := cmp.Diff(segment.Grant{Uplink: []netconf.VLANRange{r(35)}}, rec.Owed(missing)); diff != "" {
		t.Errorf("owed (-want +got):\n%s", diff)
	}
}
