package guard

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/nft"
)

func TestARefusalNamesWhatTheKernelLacks(t *testing.T) {
	tests := map[string]struct {
		err  error
		says string
	}{
		"the right":      {&nft.RefusedError{Message: unix.NFT_MSG_NEWTABLE, Errno: unix.EPERM}, "CAP_NET_ADMIN"},
		"nf_tables":      {unix.EPROTONOSUPPORT, "CONFIG_NF_TABLES)"},
		"the family":     {&nft.RefusedError{Message: unix.NFT_MSG_NEWTABLE, Errno: unix.EAFNOSUPPORT}, "CONFIG_NF_TABLES_BRIDGE"},
		"its chains":     {&nft.RefusedError{Message: unix.NFT_MSG_NEWCHAIN, Errno: unix.ENOENT}, "CONFIG_NF_TABLES_BRIDGE"},
		"counters":       {&nft.RefusedError{Message: unix.NFT_MSG_NEWOBJ, Errno: unix.ENOENT}, "CONFIG_NFT_COUNTER"},
		"references":     {&nft.RefusedError{Message: unix.NFT_MSG_NEWRULE, Errno: unix.ENOENT}, "CONFIG_NFT_OBJREF"},
		"limits":         {&nft.RefusedError{Message: unix.NFT_MSG_NEWSETELEM, Errno: unix.ENOENT}, "CONFIG_NFT_LIMIT"},
		"limits in sets": {errNoLimits, "Linux 5.7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var cni *types.Error
			err := explain(fmt.Errorf("guard: %w", test.err))
			if !errors.As(err, &cni) || cni.Code != uint(leaseapi.CodeGuard) || !strings.Contains(cni.Details, test.says) {
				t.Errorf("got %v, want code %d and %q", err, leaseapi.CodeGuard, test.says)
			}
		})
	}
}
