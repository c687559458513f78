package netconf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
)

func TestThePodsNameIsToldAsAsked(t *testing.T) {
	const shop = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME="
	long := strings.Repeat("abcdefgh.", 12) // a Pod's name may be 253 characters
	cut := strings.TrimSuffix(strings.ReplaceAll(long, ".", "-")[:63], "-")
	cases := map[string]struct {
		keys, args string
		want       map[uint8][]byte
	}{
		"off":                   {``, shop + "web-0", nil},
		"off, in so many words": {`,"hostname":"off"`, shop + "web-0", nil},
		"a name":                {`,"hostname":"name"`, shop + "web-0", map[uint8][]byte{12: []byte("web-0")}},
		"upper case":            {`,"hostname":"name"`, shop + "Web-0", map[uint8][]byte{12: []byte("web-0")}},
		"a name with dots":      {`,"hostname":"name"`, shop + "web.0", map[uint8][]byte{12: []byte("web-0")}},
		"a name with others":    {`,"hostname":"name"`, shop + "_my_web_", map[uint8][]byte{12: []byte("my-web")}},
		"a long name":           {`,"hostname":"name"`, shop + long, map[uint8][]byte{12: []byte(cut)}},
		"no Pod":                {`,"hostname":"name"`, "", nil},
		"no Pod for an FQDN":    {`,"hostname":"fqdn","hostnameDomain":"lan"`, "", nil},
		"nothing of a name":     {`,"hostname":"name"`, "K8S_POD_NAME=___", nil},
		"a partial FQDN":        {`,"hostname":"fqdn"`, shop + "web-0", map[uint8][]byte{81: []byte("\x05\x00\x00\x05web-0\x04shop")}},
		"an FQDN":               {`,"hostname":"fqdn","hostnameDomain":"LAN.example"`, shop + "web-0", map[uint8][]byte{81: []byte("\x05\x00\x00\x05web-0\x04shop\x03lan\x07example\x00")}},
		"a dot at its end":      {`,"hostname":"fqdn","hostnameDomain":"lan."`, shop + "web-0", map[uint8][]byte{81: []byte("\x05\x00\x00\x05web-0\x04shop\x03lan\x00")}},
		"without a namespace":   {`,"hostname":"fqdn","hostnameDomain":"lan"`, "K8S_POD_NAME=a.b", map[uint8][]byte{81: []byte("\x05\x00\x00\x03a-b\x03lan\x00")}},
		"beside others":         {`,"hostname":"name","provide":[{"option":"60","value":"x"}]`, shop + "w", map[uint8][]byte{12: []byte("w"), 60: []byte("x")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := netconf.ParseDHCP(dhcpConf(c.keys), c.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.Send); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
