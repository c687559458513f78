package lease

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
)

// errNewer says that a file is of a later release.
var errNewer = errors.New("of a newer version")

// load takes up what is in the folder. What makes no sense is set aside; files
// that cannot be read, or are of a newer podland's format, are left where they
// are, and an error.
func (k *Keeper) load() error {
	var all []stored
	newer := 0
	if err := k.dir.Sweep(); err != nil { // the lock is ours, so nobody is writing
		return err
	}
	err := k.dir.Each(func(name string, data []byte) error {
		s, err := decodeStored(data)
		switch {
		case errors.Is(err, errNewer):
			newer++
			return nil
		case err != nil:
			return err
		case s.Key.Hash() != name:
			return fmt.Errorf("it is the file of %s", s.Key)
		}
		all = append(all, s)
		return nil
	})
	if errors.Is(err, statefile.ErrUnreadable) {
		return err // to go on would be to forget leases that are held
	}
	if err != nil {
		k.cfg.Log.Error("lease files of no use are set aside", "error", err)
	}
	if newer > 0 {
		return fmt.Errorf("%s: %d leases are of a newer podland's format; this one reads up to version %d", k.cfg.Dir, newer, formatVersion)
	}
	var asked []stored
	if k.journal, asked, err = openJournal(k.dir.Path()); err != nil {
		return err
	}
	for _, s := range asked {
		s.noted = true
		all = append(all, s)
	}
	// The latest owner of a client first: it has it.
	slices.SortStableFunc(all, func(a, b stored) int { return b.later(a, k.cfg.BootID) })
	for _, s := range all {
		k.adopt(s, k.cfg.Now())
	}
	if err := k.journal.compact(); err != nil { // on a read-only disk: nothing will be added either
		k.cfg.Log.Error("what was asked for stays noted", "error", err)
	}
	if n := len(k.leases); n > 0 {
		k.cfg.Log.Info("leases taken up again, without a packet", "leases", n)
		k.cfg.Observer.Readopted(n)
	}
	return nil
}

// later compares when the files were written. The wall clock may be set; within
// this boot there is a better one.
func (s stored) later(o stored, bootID string) int {
	switch mine, its := s.BootID == bootID, o.BootID == bootID; {
	case mine && its:
		return cmp.Compare(s.Owned, o.Owned)
	case mine:
		return 1
	case its:
		return -1
	}
	return s.OwnedAt.Compare(o.OwnedAt)
}

// maxVLAN is the highest VID (IEEE 802.1Q §9.6).
const maxVLAN = 4094

// century bounds times in files: sums of two are still no overflow.
const century = 140 * 365 * 24 * time.Hour

// decodeStored reads a file and checks what the keeper relies on.
func decodeStored(data []byte) (stored, error) {
	var s stored
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return s, err
	}
	if version.Version > formatVersion { // the rest may look otherwise
		return s, errNewer
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if _, err := dhcp4.ParseMAC(s.Request.MAC); err != nil {
		return s, fmt.Errorf("mac: %w", err)
	}
	l := s.Lease
	switch {
	case s.Version < 1:
		return s, fmt.Errorf("version %d", s.Version)
	case s.Key.Network == "" || s.Key.ContainerID == "" || s.Key.IfName == "":
		return s, fmt.Errorf("key %q is not whole", s.Key)
	case !l.Address.IsValid() || !l.Address.Addr().Is4() || !l.Server.Is4() && (s.Lost == "" || l.Server.IsValid()):
		return s, fmt.Errorf("address %s of server %s", l.Address, l.Server)
	case s.Request.Transport != leaseapi.FromUplink && s.Request.Transport != leaseapi.FromPod:
		return s, fmt.Errorf("transport %q", s.Request.Transport)
	case s.Request.VLAN > maxVLAN || s.Below.VID > maxVLAN:
		return s, fmt.Errorf("VLAN %d, %d below", s.Request.VLAN, s.Below.VID)
	case s.Request.BudgetMS < 0 || s.Request.BudgetMS > century.Milliseconds():
		return s, fmt.Errorf("budget of %d ms", s.Request.BudgetMS)
	}
	return s, checkTimes(l)
}

func checkTimes(l dhcp4.Lease) error {
	for _, t := range []time.Duration{l.Acquired, l.T1, l.T2, l.Expiry} {
		if (t < -century || t > century) && (t != dhcp4.Never || !l.Infinite()) {
			return fmt.Errorf("time %s", t)
		}
	}
	switch {
	case l.T1 > l.T2 || l.T2 > l.Expiry || l.Acquired > l.Expiry || l.Acquired == dhcp4.Never:
		return fmt.Errorf("times %s, %s, %s, %s are out of order", l.Acquired, l.T1, l.T2, l.Expiry)
	case l.Infinite() && l.T1 != dhcp4.Never:
		return fmt.Errorf("T1 %s of an infinite lease", l.T1)
	}
	return nil
}
