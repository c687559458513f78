package guard

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// explain turns a refusal of the kernel's into code 104 with what it takes.
// Other errors of ours pass.
func explain(err error) error {
	var known *types.Error
	var errno unix.Errno
	if err == nil || errors.As(err, &known) || !errors.As(err, &errno) {
		return err
	}
	return types.NewError(uint(leaseapi.CodeGuard), "the guard of the port could not be installed: "+err.Error(), remedy(errno))
}

func remedy(errno unix.Errno) string {
	const loosen = "; or the key \"guard\", which loosens it by name"
	switch errno {
	case unix.EPERM, unix.EACCES:
		return "it takes CAP_NET_ADMIN in this network namespace" + loosen
	case unix.EPROTONOSUPPORT:
		return "the kernel lacks nf_tables (CONFIG_NF_TABLES)" + loosen
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.ENOENT:
		return "the kernel lacks nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE, module nft_chain_filter or nf_tables_bridge)" + loosen
	}
	return "see the kernel's log" + loosen
}
