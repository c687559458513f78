package integration_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
)

// cniCode returns the code of a CNI error, 0 for none.
func cniCode(err error) uint {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return e.Code
	}
	return 0
}

func TestASecondADDOfAKeyIsAnErrorAndLeavesTheFirstAlone(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	before := node.Snapshot()

	_, err := node.Add(t.Context(), conf, pod)
	if cniCode(err) != types.ErrInvalidEnvironmentVariables {
		t.Errorf("second ADD: %v, want an error of code 4", err)
	}
	asBefore(t, node, before)
	reaches(t, client, addr)
}

func TestOfFourADDsOfAKeyAtOnceOneSucceeds(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	pod := node.Pod("p1")
	before := node.Snapshot()

	var mu sync.Mutex
	var wg sync.WaitGroup
	var won []netip.Addr
	for range 4 {
		wg.Go(func() {
			result, err := node.Add(t.Context(), conf, pod)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, address(t, lab.Result(t, result)))
			} else if cniCode(err) != types.ErrInvalidEnvironmentVariables {
				t.Errorf("a losing ADD: %v, want code 4", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d ADDs succeeded, want one", len(won))
	}
	reaches(t, client, won[0])
	detach(t, node, conf, pod)
	asBefore(t, node, before)
}

func TestDELSucceedsForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	before := node.Snapshot()
	t.Run("before any ADD", func(t *testing.T) {
		detach(t, node, conf, node.Pod("never"))
	})
	t.Run("twice", func(t *testing.T) {
		pod := node.Pod("twice")
		attach(t, node, conf, pod)
		detach(t, node, conf, pod)
		detach(t, node, conf, pod)
	})
	t.Run("with the namespace gone", func(t *testing.T) {
		pod := node.Pod("gone")
		attach(t, node, conf, pod)
		if err := pod.Close(); err != nil {
			t.Fatal(err)
		}
		detach(t, node, conf, pod)
	})
	t.Run("with an empty CNI_NETNS", func(t *testing.T) {
		pod := node.Pod("empty")
		attach(t, node, conf, pod)
		detach(t, node, conf, pod, lab.Attachment{NoNetns: true})
	})
	t.Run("with a conf that ADD refuses", func(t *testing.T) {
		pod := node.Pod("refused")
		bad := network(node, hostLocal(), object{"mtu": "big"})
		if _, err := node.Add(t.Context(), bad, pod); cniCode(err) != types.ErrInvalidNetworkConfig {
			t.Fatalf("ADD: %v, want code 7", err)
		}
		detach(t, node, bad, pod)
	})
	asBefore(t, node, before)
}

// A runtime that retries makes a new sandbox for the same Pod and deletes the
// old one some time later.
func TestTheOldSandboxsDELLeavesTheNewOneAlone(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	args := [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", "7c1d"}}
	first, second := node.Pod("sandbox1"), node.Pod("sandbox2")

	old := attach(t, node, conf, first, lab.Attachment{Args: args})
	retried := attach(t, node, conf, second, lab.Attachment{Args: args})
	if old.Interfaces[2].Mac != retried.Interfaces[2].Mac {
		t.Errorf("MACs %s and %s differ", old.Interfaces[2].Mac, retried.Interfaces[2].Mac)
	}
	detach(t, node, conf, first, lab.Attachment{Args: args})
	reaches(t, client, address(t, retried))
	if err := node.Check(t.Context(), conf, second, lab.Attachment{Args: args}); err != nil {
		t.Errorf("CHECK: %v", err)
	}
}

func TestCHECKTellsWhatSomebodyTookAway(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	pod := node.Pod("p1")
	prefix := netip.PrefixFrom(address(t, attach(t, node, conf, pod)), 16)
	if err := pod.DelAddress("eth0", prefix); err != nil {
		t.Fatal(err)
	}
	err := node.Check(t.Context(), conf, pod)
	if cniCode(err) != 105 || !strings.Contains(err.Error(), prefix.String()) {
		t.Errorf("CHECK: %v, want code 105 and %s", err, prefix)
	}
}

func TestGCRemovesWhatIsNotListedAndKeepsWhatIs(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	before := node.Snapshot()
	kept, lost := node.Pod("kept"), node.Pod("lost")
	addr := address(t, attach(t, node, conf, kept))
	gone := address(t, attach(t, node, conf, lost))
	if err := node.GC(t.Context(), conf, types.GCAttachment{ContainerID: kept.ContainerID, IfName: "eth0"}); err != nil {
		t.Fatal(err)
	}
	reaches(t, client, addr)
	again := address(t, attach(t, node, conf, node.Pod("new")))
	if again == addr {
		t.Errorf("%s was given twice", addr)
	}
	_ = gone
	if err := node.GC(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	asBefore(t, node, before)
}

func TestTheReferencesVersionsOfTheSpecificationAreSpoken(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			conf := network(node, hostLocal(), object{"cniVersion": version})
			pod := node.Pod("v" + version)
			result, err := node.Add(t.Context(), conf, pod)
			if err != nil {
				t.Fatal(err)
			}
			if result.Version() != version {
				t.Errorf("result of version %s, want %s", result.Version(), version)
			}
			detach(t, node, conf, pod)
		})
	}
}
