package guard

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestARefusalNamesWhatTheKernelLacks(t *testing.T) {
	tests := map[string]struct {
		err  error
		says string
	}{
		"the right":      {refused{unix.NFT_MSG_NEWTABLE, unix.EPERM}, "CAP_NET_ADMIN"},
		"nf_tables":      {unix.EPROTONOSUPPORT, "CONFIG_NF_TABLES)"},
		"the family":     {refused{unix.NFT_MSG_NEWTABLE, unix.EAFNOSUPPORT}, "CONFIG_NF_TABLES_BRIDGE"},
		"its chains":     {refused{unix.NFT_MSG_NEWCHAIN, unix.ENOENT}, "CONFIG_NF_TABLES_BRIDGE"},
		"counters":       {refused{unix.NFT_MSG_NEWOBJ, unix.ENOENT}, "CONFIG_NFT_COUNTER"},
		"references":     {refused{unix.NFT_MSG_NEWRULE, unix.ENOENT}, "CONFIG_NFT_OBJREF"},
		"limits":         {refused{unix.NFT_MSG_NEWSETELEM, unix.ENOENT}, "CONFIG_NFT_LIMIT"},
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
