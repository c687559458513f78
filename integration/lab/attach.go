package lab

import (
	"net/netip"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Attach is an ADD that has to succeed.
func (n *Node) Attach(tb TB, conf []byte, pod *Pod, at ...Attachment) *types100.Result {
	tb.Helper()
	result, err := n.Add(tb.Context(), conf, pod, at...)
	if err != nil {
		tb.Fatalf("ADD of %s: %v", pod.Name(), err)
	}
	return Result(tb, result)
}

// Detach is a DEL that has to succeed.
func (n *Node) Detach(tb TB, conf []byte, pod *Pod, at ...Attachment) {
	tb.Helper()
	if err := n.Del(tb.Context(), conf, pod, at...); err != nil {
		tb.Fatalf("DEL of %s: %v", pod.Name(), err)
	}
}

// Address returns a result's only one.
func Address(tb TB, result *types100.Result) netip.Addr {
	tb.Helper()
	if len(result.IPs) != 1 {
		tb.Fatalf("%d addresses in the result, want one: %v", len(result.IPs), result)
	}
	addr, ok := netip.AddrFromSlice(result.IPs[0].Address.IP)
	if !ok {
		tb.Fatalf("%v is no address", result.IPs[0])
	}
	return addr.Unmap()
}
