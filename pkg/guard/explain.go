package guard

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/nft"
)

// errNoLimits: see checkLimits.
var errNoLimits = errors.New("the kernel keeps no limit with the element of a set")

// explain turns a refusal of the kernel's into code 104 with what it takes.
// Other errors of ours pass.
func explain(err error) error {
	var known *types.Error
	var errno unix.Errno
	if err == nil || errors.As(err, &known) || !errors.As(err, &errno) && !errors.Is(err, errNoLimits) {
		return err
	}
	return types.NewError(uint(leaseapi.CodeGuard), "the guard of the port could not be installed: "+err.Error(),
		remedy(err, errno)+`; or the key "guard", which loosens it by name`)
}

func remedy(err error, errno unix.Errno) string {
	if errors.Is(err, errNoLimits) {
		return "limits take Linux 5.7; negative rates go without"
	}
	switch errno {
	case unix.EPERM, unix.EACCES:
		return "it takes CAP_NET_ADMIN in this network namespace"
	case unix.EPROTONOSUPPORT:
		return "the kernel lacks nf_tables (CONFIG_NF_TABLES)"
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.ENOENT:
		return "the kernel lacks " + missing(err)
	}
	return "see the kernel's log"
}

// missing names the option without which the kernel refuses what it refused.
// Kernels after Linux 5.17 have all but the first built in, or as a module.
func missing(err error) string {
	if r, ok := errors.AsType[*nft.RefusedError](err); ok {
		switch r.Message {
		case unix.NFT_MSG_NEWOBJ:
			return "named counters (CONFIG_NFT_COUNTER)"
		case unix.NFT_MSG_NEWRULE:
			return "references to named counters (CONFIG_NFT_OBJREF)"
		case unix.NFT_MSG_NEWSET:
			return "sets with counters (CONFIG_NFT_COUNTER, or for kernels before 5.10 CONFIG_NF_TABLES_SET)"
		case unix.NFT_MSG_NEWSETELEM:
			return "limits (CONFIG_NFT_LIMIT); negative rates go without"
		}
	}
	return "nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE, module nft_chain_filter or nf_tables_bridge)"
}
