package kube

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Type is how a Service is published.
type Type string

// The types.
const (
	ClusterIP    Type = "ClusterIP"
	NodePort     Type = "NodePort"
	LoadBalancer Type = "LoadBalancer"
)

// Spec describes a Service and its endpoints.
type Spec struct {
	// Type defaults to ClusterIP.
	Type Type
	// Port is the Service's, Target the endpoints', both by TCP and by UDP.
	Port, Target uint16
	// Local is externalTrafficPolicy: Local: what comes from outside stays on the
	// node and keeps its source. Not for a ClusterIP.
	Local bool
	// Ingress is the address that a load balancer would have given out.
	Ingress netip.Addr
	// External is one of spec.externalIPs: somebody else leads it to the nodes.
	External  netip.Addr
	Endpoints []Endpoint
}

// Endpoint is where a Service leads: to a Pod, or to any address.
type Endpoint struct {
	Addr netip.Addr
	// Node is the name of the Pod's node; empty where there is none.
	Node string
}

// Service is a Service that the API server has taken.
type Service struct {
	Name      string
	ClusterIP netip.Addr
	// NodePort is 0 for a ClusterIP.
	NodePort uint16

	spec  Spec
	ports []servicePort
}

// servicePort is a Service's port, with its protocol as nft writes it.
type servicePort struct{ name, protocol string }

// the collections' paths.
const (
	servicesPath = "/api/v1/namespaces/default/services"
	slicesPath   = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
)

// Service makes a Service without selector and the EndpointSlice that belongs to
// it: no controller looks for Pods here.
func (c *Cluster) Service(name string, spec Spec) Service {
	c.tb.Helper()
	s, err := c.service(c.tb.Context(), name, spec)
	if err != nil {
		c.tb.Fatalf("kube: Service %s: %v", name, err)
	}
	return s
}

func (c *Cluster) service(ctx context.Context, name string, spec Spec) (Service, error) {
	if spec.Type == "" {
		spec.Type = ClusterIP
	}
	// First, so that kube-proxy never sees the Service without endpoints, which
	// would take it a second round.
	if err := c.api.create(ctx, slicesPath, endpointSlice(name, spec), nil); err != nil {
		return Service{}, err
	}
	var made serviceObject
	err := c.api.create(ctx, servicesPath, object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": name}, "spec": spec.object(),
	}, &made)
	if err != nil || !spec.Ingress.IsValid() {
		return made.service(spec), err
	}
	return made.service(spec), c.api.patch(ctx, servicesPath+"/"+name+"/status", object{
		"status": object{"loadBalancer": object{"ingress": []object{{"ip": spec.Ingress}}}},
	})
}

// protocols are those of every Service, as kube-dns has them.
func protocols() []string { return []string{"TCP", "UDP"} }

func (s Spec) object() object {
	o := object{"type": s.Type}
	var ports []object
	for _, p := range protocols() {
		ports = append(ports, object{"name": portName(p), "port": s.Port, "targetPort": s.Target, "protocol": p})
	}
	o["ports"] = ports
	if s.Local {
		o["externalTrafficPolicy"] = "Local"
	}
	if s.External.IsValid() {
		o["externalIPs"] = []netip.Addr{s.External}
	}
	return o
}

func portName(protocol string) string { return "by-" + strings.ToLower(protocol) }

func endpointSlice(name string, spec Spec) object {
	endpoints := make([]object, len(spec.Endpoints))
	for i, e := range spec.Endpoints {
		endpoints[i] = object{"addresses": []netip.Addr{e.Addr}, "conditions": object{"ready": true}}
		if e.Node != "" {
			endpoints[i]["nodeName"] = e.Node
		}
	}
	var ports []object
	for _, p := range protocols() {
		ports = append(ports, object{"name": portName(p), "port": spec.Target, "protocol": p})
	}
	return object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata": object{"name": name, "labels": object{"kubernetes.io/service-name": name}},
		"ports":    ports, "endpoints": endpoints,
	}
}

// serviceObject is what we read of the API's.
type serviceObject struct {
	Metadata struct{ Name string }
	Spec     struct {
		ClusterIP netip.Addr
		Ports     []struct {
			Name, Protocol string
			NodePort       uint16
		}
	}
}

func (o serviceObject) service(spec Spec) Service {
	s := Service{Name: o.Metadata.Name, ClusterIP: o.Spec.ClusterIP, spec: spec}
	for _, p := range o.Spec.Ports {
		// The API server gives ports of one number and different protocols one NodePort.
		s.NodePort = p.NodePort
		s.ports = append(s.ports, servicePort{p.Name, strings.ToLower(p.Protocol)})
	}
	return s
}

// kubernetes returns the API server's own Service, which that makes itself.
func (c *Cluster) kubernetes(ctx context.Context) (Service, error) {
	var found serviceObject
	if err := c.api.get(ctx, servicesPath+"/kubernetes", &found); err != nil {
		return Service{}, fmt.Errorf("the API server's own Service: %w", err)
	}
	spec := Spec{Port: 443, Target: apiPort, Endpoints: []Endpoint{{Addr: c.Control.Addr.Addr()}}}
	return found.service(spec), nil
}
