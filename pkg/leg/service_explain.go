package leg

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/nft"
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
	switch errno {
	case unix.EPERM, unix.EACCES:
		return "it takes CAP_NET_ADMIN in this network namespace"
	case unix.EPROTONOSUPPORT, unix.EINVAL: // the latter to a question: no nfnetlink, no nf_tables
		if _, inBatch := errors.AsType[*nft.RefusedError](err); !inBatch {
			return "the kernel lacks nf_tables (CONFIG_NF_TABLES)"
		}
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.ENOENT:
		if what := missing(err); what != "" {
			return "the kernel lacks " + what
		}
	}
	return "see the kernel's log"
}

// missing names the options without which the kernel refuses what it refused, ""
// if nobody knows.
func missing(err error) string {
	r, ok := errors.AsType[*nft.RefusedError](err)
	if !ok {
		return ""
	}
	switch r.Message {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		return "nf_tables for IPv4 (CONFIG_NF_TABLES_IPV4)"
	case unix.NFT_MSG_NEWSET, unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		return "nf_tables' sets (before Linux 5.10: CONFIG_NF_TABLES_SET)"
	case unix.NFT_MSG_NEWCHAIN:
		return "NAT by nf_tables (CONFIG_NFT_NAT and CONFIG_NF_NAT, modules nft_chain_nat and nf_nat)"
	}
	for _, rule := range translations() {
		if r.Message == unix.NFT_MSG_NEWRULE && r.Name == rule.note {
			return rule.needs
		}
	}
	return ""
}
