package lab

import (
	"path/filepath"
)

// Pod is an empty namespace, as a runtime makes one before it calls CNI.
type Pod struct {
	*Netns
	node *Node
	// ContainerID is used for CNI calls that name none.
	ContainerID string
}

// Pod makes an empty Pod on the node. Its container ID is its name with the
// node's before it, unless the CNI call says otherwise.
func (n *Node) Pod(name string) *Pod {
	n.lab.tb.Helper()
	p, err := n.NewPod(name)
	if err != nil {
		n.lab.tb.Fatalf("lab: %v", err)
	}
	return p
}

// NewPod is Pod for goroutines that cannot end the test. Close removes the
// namespace: "namespace gone".
func (n *Node) NewPod(name string) (*Pod, error) {
	ns, err := n.lab.newNetns(n.name + "-" + name)
	if err != nil {
		return nil, err
	}
	return &Pod{Netns: ns, node: n, ContainerID: n.name + "-" + name}, nil
}

// BoundPath gives the Pod's namespace a path below the lab's folder, for a
// podland that may not read this process's descriptors. CNI calls use it from
// then on.
func (p *Pod) BoundPath() (string, error) {
	path, err := p.Bind(filepath.Join(p.node.dir, "netns", p.ContainerID))
	if err != nil {
		return "", err
	}
	p.path = path
	return path, nil
}
