package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/integration/lab"
)

// attachment is one Pod on the network of one side.
type attachment struct {
	node *lab.Node
	pod  *lab.Pod
	conf []byte
	id   lab.Attachment
	addr netip.Addr // once added
}

// attachments are n new containers in the arena's namespaces.
func (a *arena) attachments(s side, name string, n int) []*attachment {
	all := make([]*attachment, n)
	for i := range all {
		id := lab.Attachment{ContainerID: fmt.Sprintf("%s-%d", name, i+1)}
		all[i] = &attachment{node: a.node, pod: a.pods[i], conf: s.conf, id: id}
	}
	return all
}

// add is the whole ADD, as a runtime waits for it.
func (at *attachment) add(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	result, err := at.node.Add(ctx, at.conf, at.pod, at.id)
	if err != nil {
		return fmt.Errorf("ADD of %s: %w", at.id.ContainerID, err)
	}
	current, err := types100.NewResultFromResult(result)
	if err == nil && len(current.IPs) != 1 {
		err = errors.New("not one address")
	}
	if err != nil {
		return fmt.Errorf("result of %s: %w", at.id.ContainerID, err)
	}
	at.addr, _ = netip.AddrFromSlice(current.IPs[0].Address.IP.To4())
	return nil
}

func (at *attachment) del(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if err := at.node.Del(ctx, at.conf, at.pod, at.id); err != nil {
		return fmt.Errorf("DEL of %s: %w", at.id.ContainerID, err)
	}
	return nil
}
