package lab

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Attachment says what a CNI call is about, beside the Pod.
type Attachment struct {
	// ContainerID defaults to the Pod's, IfName to eth0.
	ContainerID, IfName string
	// Args are CNI_ARGS, CapabilityArgs the runtime's.
	Args           [][2]string
	CapabilityArgs map[string]any
	// NoNetns passes an empty CNI_NETNS, Netns another path than the Pod's.
	NoNetns bool
	Netns   string
}

// runtimeConf fills in what the attachment leaves to the Pod. pod may be nil.
func runtimeConf(pod *Pod, at []Attachment) *libcni.RuntimeConf {
	var a Attachment
	if len(at) > 0 {
		a = at[0]
	}
	if a.IfName == "" {
		a.IfName = "eth0"
	}
	if pod != nil && a.ContainerID == "" {
		a.ContainerID = pod.ContainerID
	}
	if pod != nil && a.Netns == "" && !a.NoNetns {
		a.Netns = pod.Path()
	}
	return &libcni.RuntimeConf{
		ContainerID: a.ContainerID, NetNS: a.Netns, IfName: a.IfName, Args: a.Args, CapabilityArgs: a.CapabilityArgs,
	}
}

// parseList reads a conflist, or a single plugin's conf as a list of one.
func parseList(conf []byte) (*libcni.NetworkConfigList, error) {
	var single struct {
		Name       string            `json:"name"`
		CNIVersion string            `json:"cniVersion"`
		Plugins    []json.RawMessage `json:"plugins"`
	}
	if err := json.Unmarshal(conf, &single); err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	if single.Plugins != nil {
		return libcni.NetworkConfFromBytes(conf)
	}
	single.Plugins = []json.RawMessage{conf}
	list, err := json.Marshal(single)
	if err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	return libcni.NetworkConfFromBytes(list)
}

// Add attaches the Pod to the network as a runtime does, by libcni and the real
// plugin binaries, on the node.
func (n *Node) Add(ctx context.Context, conf []byte, pod *Pod, at ...Attachment) (types.Result, error) {
	list, err := parseList(conf)
	if err != nil {
		return nil, err
	}
	return n.cni.AddNetworkList(ctx, list, runtimeConf(pod, at))
}

// Del detaches the Pod. libcni passes the cached result of Add.
func (n *Node) Del(ctx context.Context, conf []byte, pod *Pod, at ...Attachment) error {
	list, err := parseList(conf)
	if err != nil {
		return err
	}
	return n.cni.DelNetworkList(ctx, list, runtimeConf(pod, at))
}

// Check asks whether the attachment is as Add left it.
func (n *Node) Check(ctx context.Context, conf []byte, pod *Pod, at ...Attachment) error {
	list, err := parseList(conf)
	if err != nil {
		return err
	}
	return n.cni.CheckNetworkList(ctx, list, runtimeConf(pod, at))
}

// GC tells the network's plugins which attachments are still valid. libcni
// itself DELs those of its cache that are not.
func (n *Node) GC(ctx context.Context, conf []byte, valid ...types.GCAttachment) error {
	list, err := parseList(conf)
	if err != nil {
		return err
	}
	return n.cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
}

// Status asks the network's plugins whether they can ADD.
func (n *Node) Status(ctx context.Context, conf []byte) error {
	list, err := parseList(conf)
	if err != nil {
		return err
	}
	return n.cni.GetStatusNetworkList(ctx, list)
}

// Result converts a result to the current version, for its fields.
func Result(tb TB, result types.Result) *types100.Result {
	tb.Helper()
	current, err := types100.NewResultFromResult(result)
	if err != nil {
		tb.Fatalf("CNI result: %v", err)
	}
	return current
}
