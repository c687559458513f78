// Package kube is a Kubernetes for tests, as far as Services need one: a real API
// server on a host of the lab's LAN and a real kube-proxy on its nodes, without
// kubelets, scheduler and controllers. The test makes the Pods as a runtime does,
// by lab, and tells the API server of them.
//
//	cluster := kube.New(t, l)
//	cluster.Proxy(node, kube.NFTables)
//	web := cluster.Service("web", kube.Spec{Port: 80, Target: 8080, Endpoints: ...})
//	cluster.AwaitRules(node, web)
//	// web.ClusterIP answers in the node's namespace
//
// It writes to nothing outside of the lab's namespaces and folder, but for the
// user's cache folder, where package upstream keeps the programs. Its processes
// die with the test's.
//
// The tests carry the build tag kube: `make test-kube` builds Kubernetes before
// them, which takes minutes, and `go test ./...` shall not. They show, for each mode
// of kube-proxy and net.bridge.bridge-nf-call-iptables 0 and 1, by TCP and by UDP as
// a resolver asks, with the rule of kube-proxy in place that drops what is INVALID
// for connection tracking:
//
//   - A Pod reaches a ClusterIP whose endpoint is itself, a Pod on its node, a
//     Pod on another node, a host of the LAN, and a Pod in the network of its
//     own and of another node; each sees the source that docs/services.md
//     promises. The same from another network. (VLANs and IPVS:
//     integration/vlan.)
//   - What the Pod sends to the LAN, and the LAN to the Pod, keeps both
//     addresses while kube-proxy runs.
//   - A NodePort, a LoadBalancer's address and one of externalIPs that stays on
//     the node (Local) and leads to a bridged Pod: the Pod sees the client's
//     address, and the answer comes from where the client asked. So does a
//     hostPort.
//   - The same with the policy Cluster, to a Pod of this node, of another, or a
//     host: the endpoint sees the node that was asked. With bridge-nf, where the
//     node's address is on the Pods' bridge, not back to the LAN: that nobody
//     answers there is looked at, too.
//   - Pods that ask such an address by the LAN.
//   - The API server is reached from a Pod by the Service "kubernetes".
//   - kube-proxy comes after the Pod, and restarts: the same.
//   - Before and after a Pod's life the node's rules are equal, with kube-proxy's
//     and ours side by side.
package kube
