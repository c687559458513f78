package identity_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/podlan/podlan/pkg/identity"
)

func TestARetriedSandboxOfAPodKeepsItsIdentity(t *testing.T) {
	first := identity.Attachment("lan", "eth0", "uid", "container-1")
	retry := identity.Attachment("lan", "eth0", "uid", "container-2")
	if first != retry || !bytes.Equal(first.ClientID(), retry.ClientID()) || first.MAC().String() != retry.MAC().String() {
		t.Errorf("%v and %v differ", first, retry)
	}
}

func TestWhatDiffersInAnyPartIsAnotherClient(t *testing.T) {
	keys := []identity.Key{
		identity.Attachment("lan", "eth0", "", "c1"),
		identity.Attachment("lan", "eth0", "", "c2"),
		identity.Attachment("lan", "eth1", "", "c1"),
		identity.Attachment("wan", "eth0", "", "c1"),
		identity.Attachment("lan", "eth0", "c1", "c1"), // a UID is not a container's ID
		identity.Attachment("lane", "th0", "", "c1"),
	}
	macs, ids := map[string]bool{}, map[string]bool{}
	for _, key := range keys {
		macs[key.MAC().String()] = true
		ids[string(key.ClientID())] = true
	}
	if len(macs) != len(keys) || len(ids) != len(keys) {
		t.Errorf("%d MACs and %d client-ids of %d keys", len(macs), len(ids), len(keys))
	}
}

// Servers hold leases and reservations under these: they must never change.
func TestIdentitiesAreTheSameInEveryRelease(t *testing.T) {
	key := identity.Attachment("lan", "eth0", "", "c1")
	if got, want := key.MAC().String(), "02:ae:d6:a4:64:6b"; got != want {
		t.Errorf("MAC %s, want %s", got, want)
	}
	want := "ffb308cb130004e102290e426454f09638a13825642a16"
	if got := hex.EncodeToString(key.ClientID()); got != want {
		t.Errorf("client-id %s, want %s", got, want)
	}
}

func TestTheFormsAreThoseOfTheRFCs(t *testing.T) {
	key := identity.Attachment("lan", "eth0", "uid", "c1")
	if mac := key.MAC(); mac[0]&3 != 2 {
		t.Errorf("%s is not a locally administered unicast address", mac)
	}
	id := key.ClientID()
	switch {
	case len(id) != 23 || id[0] != 0xff:
		t.Errorf("%x is not of type 255 with IAID and DUID (RFC 4361)", id)
	case id[5] != 0 || id[6] != 4:
		t.Errorf("%x has no DUID of type 4 (RFC 6355)", id)
	case id[7+6]>>4 != 5 || id[7+8]>>6 != 2:
		t.Errorf("%x has no UUID of version 5", id)
	}
}
