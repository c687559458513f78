package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// sample is the network configuration that the demo uses as it stands.
const sample = "conf/10-podlan.conflist"

// pod is one of the demo's Pods.
type pod struct {
	*lab.Pod
	// short is its name, full its name with the Kubernetes namespace.
	short, full string
	addr        netip.Prefix // as the CNI result has it
	service     *service
}

// attach is the step that gives Pods their addresses.
func (d *demo) attach(ctx context.Context) error {
	if err := d.readConf(); err != nil {
		return err
	}
	for _, name := range []string{"orders", "stock", "mail"} {
		if err := d.attachPod(ctx, name); err != nil {
			return fmt.Errorf("attach Pod %s: %w", name, err)
		}
	}
	server := d.lab.Server().Embedded()
	d.out.saw("the DHCP server, which has never heard of Pods, saw %d DISCOVER and %d REQUEST and granted %d leases",
		len(server.Received(dhcpv4.MessageTypeDiscover)), len(server.Received(dhcpv4.MessageTypeRequest)), len(server.ActiveLeases()))
	leases, err := d.awaitBound(ctx)
	if err != nil {
		return err
	}
	if err := d.compareLeases(leases); err != nil {
		return err
	}
	return d.showLeases(ctx)
}

// readConf reads the sample, which gets only the lab's own paths, and shows it.
func (d *demo) readConf() error {
	raw, err := os.ReadFile(filepath.Join(d.root, sample))
	if err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	d.conf = d.node.Conf(raw)
	var list struct {
		Plugins []json.RawMessage `json:"plugins"`
	}
	var line bytes.Buffer
	if err := json.Unmarshal(raw, &list); err != nil || len(list.Plugins) != 1 {
		return errors.Join(fmt.Errorf("%s: one plugin is expected", sample), err)
	}
	if err := json.Compact(&line, list.Plugins[0]); err != nil {
		return fmt.Errorf("%s: %w", sample, err)
	}
	d.out.does("libcni runs podlan-bridge and podlan-dhcp, with %s as it stands:", sample)
	d.out.block(line.String())
	return nil
}

// attachPod makes a Pod and has it attached, as kubelet's runtime does.
func (d *demo) attachPod(ctx context.Context, name string) error {
	made, err := d.node.NewPod(name)
	if err != nil {
		return err
	}
	if !d.opts.keep { // named namespaces have a path already that podland may use
		if _, err := made.BoundPath(); err != nil {
			return err
		}
	}
	p := &pod{Pod: made, short: name, full: "shop/" + name}
	started := time.Now()
	if p.addr, err = d.add(ctx, p); err != nil {
		return err
	}
	d.out.saw("%-11s has %-15s ADD took %s", p.full, p.addr, ms(time.Since(started)))
	d.pods = append(d.pods, p)
	return d.client.Ping(ctx, p.addr.Addr())
}

// add is one ADD; it returns the address in the result.
func (d *demo) add(ctx context.Context, p *pod) (netip.Prefix, error) {
	added, err := d.node.Add(ctx, d.conf, p.Pod, attachment(p.short))
	if err != nil {
		return netip.Prefix{}, err
	}
	result, err := types100.NewResultFromResult(added)
	if err != nil || len(result.IPs) != 1 {
		return netip.Prefix{}, errors.Join(fmt.Errorf("one address is expected in the result %v", added), err)
	}
	return netip.ParsePrefix(result.IPs[0].Address.String())
}

// attachment has the names that kubelet passes on.
func attachment(name string) lab.Attachment {
	return lab.Attachment{Args: [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", name}, {"K8S_POD_UID", "uid-of-" + name},
	}}
}

// compareLeases checks that CNI result, podland and server tell the same.
func (d *demo) compareLeases(leases []leaseapi.Lease) error {
	granted := map[netip.Addr]string{}
	for _, l := range d.lab.Server().ActiveLeases() {
		granted[l.Addr] = l.MAC
	}
	held := map[string]leaseapi.Lease{}
	for _, l := range leases {
		held[l.Pod] = l
	}
	for _, p := range d.pods {
		l := held[p.full]
		if l.Address != p.addr || granted[p.addr.Addr()] != l.MAC {
			return fmt.Errorf("%s has %s, podland holds %s for %s, the server granted %v", p.full, p.addr, l.Address, l.MAC, granted)
		}
	}
	return nil
}
