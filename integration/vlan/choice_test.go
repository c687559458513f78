package vlan_test

import (
	"maps"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// One network for several VLANs: the Pod says which, within what the network
// allows.
func TestAPodChoosesAmongTheVLANsThatItsNetworkAllows(t *testing.T) {
	t.Parallel()
	byArgs := func(vid string) lab.Attachment {
		return lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"VLAN", vid}}}
	}
	byRuntime := func(vid int) lab.Attachment { return lab.Attachment{CapabilityArgs: map[string]any{"vlan": vid}} }
	cni := func(vid int) object { return object{"args": object{"cni": object{"vlan": vid}}} }
	cases := []struct {
		name string
		at   lab.Attachment
		keys object
		vid  uint16 // 0: refused
		code uint
		says []string
	}{
		{"nothing", lab.Attachment{}, nil, 10, 0, nil},
		{"CNI_ARGS", byArgs("20"), nil, 20, 0, nil},
		{"args", lab.Attachment{}, cni(30), 30, 0, nil},
		{"runtime", byRuntime(20), nil, 20, 0, nil},
		{"runtime-first", byRuntime(20), cni(30), 20, 0, nil},
		{"not-allowed", byArgs("40"), nil, 0, types.ErrInvalidNetworkConfig, []string{"40", "20", "30", "vlanAllowed"}},
		{"no-VID", byArgs("4095"), nil, 0, types.ErrInvalidEnvironmentVariables, []string{"4095", "4094"}},
		{"none-allowed", byArgs("20"), object{"vlanAllowed": nil}, 0, types.ErrInvalidNetworkConfig, []string{"20", "vlanAllowed"}},
	}
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newStaticSite(t, m, 10, 20, 30, 40)
			before := s.node.Snapshot()
			for _, c := range cases {
				keys := object{"vlanAllowed": []any{20, object{"minID": 30, "maxID": 31}}, "capabilities": object{"vlan": true}}
				maps.Copy(keys, c.keys)
				if keys["vlanAllowed"] == nil {
					delete(keys, "vlanAllowed")
				}
				conf := network(s.node, hostLocal(), m.keys(10), keys)
				pod := s.node.Pod(c.name)
				result, err := s.node.Add(t.Context(), conf, pod, c.at)
				if c.vid == 0 {
					says(t, err, c.code, c.says...)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
					continue
				}
				current := lab.Result(t, result)
				isAt(t, s.hosts[c.vid], address(t, current), podMAC(t, current))
				must(t, s.node.Check(t.Context(), conf, pod, c.at))
				detach(t, s.node, conf, pod, c.at)
			}
			asBefore(t, s.node, before)
		})
	}
}
