package netconf_test

import (
	"errors"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

func dhcpConf(ipam string) []byte {
	return []byte(`{"cniVersion":"1.1.0","name":"lan","type":"macvlan","master":"eth1","ipam":{"type":"podlan-dhcp"` + ipam + `}}`)
}

func TestEveryKeyOfTheReferenceDHCPIsRead(t *testing.T) {
	conf := dhcpConf(`,"daemonSocketPath":"/run/x.sock","priority":50,
		"request":[{"option":"routers"},{"option":"42","skipDefault":true}],
		"provide":[{"option":"host-name","fromArg":"K8S_POD_NAME"},{"option":"60","value":"podlan"},
		           {"option":"dhcp-client-identifier","value":"me"},{"option":"77","fromArg":"ABSENT"}]`)
	d, err := netconf.ParseDHCP(conf, "K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop")
	if err != nil {
		t.Fatal(err)
	}
	if d.Socket != "/run/x.sock" || d.Priority != 50 || d.Main.Master != "eth1" || d.Pod.String() != "shop/web-0" {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff([]byte{3, 42}, d.ParameterRequest); diff != "" {
		t.Errorf("parameter request: %s", diff)
	}
	want := map[uint8][]byte{12: []byte("web-0"), 60: []byte("podlan")}
	if diff := cmp.Diff(want, d.Send); diff != "" {
		t.Errorf("options to send: %s", diff)
	}
	if string(d.ClientID) != "me" {
		t.Errorf("client-id %q, want it as given", d.ClientID)
	}
}

func TestTheDefaultsAskForWhatAPodCanUse(t *testing.T) {
	d, err := netconf.ParseDHCP(dhcpConf(`,"request":[{"option":"routers"},{"option":"42"}]`), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte{3, 42, 121, 1, 33, 6, 15, 119, 26}, d.ParameterRequest); diff != "" {
		t.Error(diff)
	}
	if d.Socket != leaseapi.DefaultSocket || d.From != netconf.FromAuto {
		t.Errorf("got %+v", d)
	}
}

func dhcpRefusals() map[string]refusal {
	return map[string]refusal{
		"an unknown key":            {conf: string(dhcpConf(`,"requests":[]`)), code: 7, says: []string{`"ipam.requests"`, "request"}},
		"an unknown key in a list":  {conf: string(dhcpConf(`,"request":[{"opt":"routers"}]`)), code: 7, says: []string{`"ipam.request.opt"`}},
		"an unknown option":         {conf: string(dhcpConf(`,"request":[{"option":"gateway"}]`)), code: 7, says: []string{`"gateway"`, "routers"}},
		"the end option":            {conf: string(dhcpConf(`,"request":[{"option":"255"}]`)), code: 7, says: []string{`"255"`, "254"}},
		"a string for a list":       {conf: string(dhcpConf(`,"provide":"host-name"`)), code: 7, says: []string{`"ipam.provide"`, "list"}},
		"a number in a list":        {conf: string(dhcpConf(`,"provide":[3]`)), code: 7, says: []string{`"ipam.provide"`, "objects"}},
		"an option of the protocol": {conf: string(dhcpConf(`,"provide":[{"option":"53","value":"x"}]`)), code: 7, says: []string{"53"}},
		"a client-id of one byte":   {conf: string(dhcpConf(`,"provide":[{"option":"61","value":"x"}]`)), code: 7, says: []string{"2 bytes"}},
		"a negative priority":       {conf: string(dhcpConf(`,"priority":-1`)), code: 7, says: []string{`"ipam.priority"`, "-1"}},
		"a relative socket":         {conf: string(dhcpConf(`,"daemonSocketPath":"x.sock"`)), code: 7, says: []string{`"ipam.daemonSocketPath"`, "absolute"}},
		"a wrong dhcpFrom":          {conf: string(dhcpConf(`,"dhcpFrom":"moon"`)), code: 7, says: []string{`"ipam.dhcpFrom"`, "auto, uplink, pod"}},
		"no pair in CNI_ARGS":       {conf: string(dhcpConf(``)), args: "x", code: 4, says: []string{"CNI_ARGS"}},
	}
}

func TestABadDHCPConfIsRefusedByKeyValueAndWhatIsAllowed(t *testing.T) {
	for name, c := range dhcpRefusals() {
		t.Run(name, func(t *testing.T) {
			_, err := netconf.ParseDHCP([]byte(c.conf), c.args)
			checkRefusal(t, err, c)
		})
	}
}

func TestAGCWithoutAListIsRefusedAndWithAnEmptyOneIsNot(t *testing.T) {
	cases := map[string]struct {
		conf string
		want int
		code uint
	}{
		"absent": {`{}`, 0, 7},
		"null":   {`{"cni.dev/valid-attachments":null}`, 0, 0},
		"empty":  {`{"cni.dev/valid-attachments":[]}`, 0, 0},
		"two":    {`{"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"eth0"}]}`, 2, 0},
		"older":  {`{"cni.dev/attachments":[{"containerID":"a","ifname":"eth0"}]}`, 1, 0},
		"wrong":  {`{"cni.dev/valid-attachments":{}}`, 0, 7},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			valid, err := netconf.ValidAttachments([]byte(c.conf))
			var cniErr *types.Error
			errors.As(err, &cniErr)
			if len(valid) != c.want || (c.code == 0) != (err == nil) || c.code != 0 && cniErr.Code != c.code {
				t.Errorf("got %v, %v", valid, err)
			}
		})
	}
}

func FuzzParseDHCP(f *testing.F) {
	for _, c := range dhcpRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	f.Fuzz(func(t *testing.T, stdin []byte, args string) {
		d, err := netconf.ParseDHCP(stdin, args)
		var cniErr *types.Error
		if err != nil && (!errors.As(err, &cniErr) || cniErr.Code == 0) {
			t.Fatalf("%v is no error of CNI", err)
		}
		if err == nil && (d.Priority < 0 || d.Socket == "" || len(d.ClientID) > 255) {
			t.Fatalf("accepted %+v", d)
		}
	})
}
