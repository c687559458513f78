package leg

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// explain turns a refusal of the kernel's into code 106 with what it takes.
// Other errors pass.
func explain(err error) error {
	var errno unix.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	return types.NewError(uint(leaseapi.CodeService), "the rules for Services could not be installed: "+err.Error(),
		remedy(err, errno)+`; or "service": {"mode": "off"}, without Services`)
}

func remedy(err error, errno unix.Errno) string {
	r, inBatch := errors.AsType[refused](err)
	switch errno {
	case unix.EPERM, unix.EACCES:
		return "it takes CAP_NET_ADMIN in this network namespace"
	case unix.EPROTONOSUPPORT, unix.EINVAL: // the latter to a question: no nfnetlink, no nf_tables
		if !inBatch {
			return "the kernel lacks nf_tables (CONFIG_NF_TABLES)"
		}
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.ENOENT:
		if r.needs != "" {
			return "the kernel lacks " + r.needs
		}
	}
	return "see the kernel's log"
}
