package lab

import (
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// newKea prepares Kea's DHCPv4 server with its memfile database, a CSV file
// that grows by a line per change.
func newKea(ctx context.Context, s spec) (backend, error) {
	e, err := newExternal(ctx, s, Kea, "kea-dhcp4")
	if err != nil {
		return nil, err
	}
	conf, err := json.MarshalIndent(map[string]any{"Dhcp4": e.keaConf()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := e.write("kea.json", string(conf)); err != nil {
		return nil, err
	}
	e.args = []string{"-c", e.path("kea.json")}
	e.env = []string{"KEA_PIDFILE_DIR=" + e.dir, "KEA_LOCKFILE_DIR=none", "KEA_LOGGER_DESTINATION=stdout"}
	e.ready = "DHCP4_STARTED"
	e.release = regexp.MustCompile(`DHCP4_RELEASE \[hwtype=1 (?P<mac>[0-9a-f:]{17})\].*: address (?P<ip>\S+) was released properly`)
	e.message = regexp.MustCompile(`DHCP4_(?P<type>LEASE_ADVERT|LEASE_ALLOC|DECLINE_LEASE|RELEASE) .*?(?P<mac>[0-9a-f:]{17})`)
	e.database = []string{e.path("leases.csv")}
	e.read = e.readKea
	return e, nil
}

func (e *external) keaConf() map[string]any {
	o := e.opts
	conf := map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{e.iface}, "dhcp-socket-type": "raw", "re-detect": true},
		"lease-database":    map[string]any{"type": "memfile", "persist": true, "name": e.path("leases.csv"), "lfc-interval": 0},
		"authoritative":     true,
		"valid-lifetime":    int(o.Lease.Seconds()), "min-valid-lifetime": int(o.Lease.Seconds()), "max-valid-lifetime": int(o.Lease.Seconds()),
		"option-data": e.keaOptions(),
		"subnet4": []any{map[string]any{
			"id": 1, "subnet": e.plan.subnet.String(), "interface": e.iface,
			"pools": []any{map[string]any{"pool": fmt.Sprintf("%s - %s", e.plan.first, e.plan.last)}},
		}},
		"loggers": []any{map[string]any{
			"name": "kea-dhcp4", "severity": "INFO",
			"output_options": []any{map[string]any{"output": "stdout", "flush": true}},
		}},
	}
	if o.T1 > 0 {
		conf["renew-timer"] = int(o.T1.Seconds())
	}
	if o.T2 > 0 {
		conf["rebind-timer"] = int(o.T2.Seconds())
	}
	return conf
}

func (e *external) keaOptions() []any {
	o := e.opts
	options := []any{}
	add := func(name, data string) {
		if data != "" {
			options = append(options, map[string]any{"name": name, "data": data})
		}
	}
	add("routers", text(e.router()))
	add("domain-name-servers", join(o.DNS, ", "))
	add("domain-name", o.Domain)
	if o.MTU > 0 {
		add("interface-mtu", strconv.Itoa(int(o.MTU)))
	}
	for code, value := range o.DHCPOptions {
		options = append(options, map[string]any{
			"code": code, "space": "dhcp4", "csv-format": false, "data": hex.EncodeToString(value), "always-send": true,
		})
	}
	return options
}

// readKea reads the CSV file: the last line of an address counts. A released
// lease has a lifetime of 0; state 0 is "default", 1 a declined, others a
// reclaimed lease.
func (e *external) readKea() (held holdings, err error) {
	db, err := e.readDatabase("leases.csv")
	if err != nil || db == "" {
		return held, err
	}
	complete := db[:strings.LastIndexByte(db, '\n')+1] // the last line may be in the making
	r := csv.NewReader(strings.NewReader(complete))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil || len(records) == 0 {
		return held, err
	}
	column := map[string]int{}
	for i, name := range records[0] {
		column[name] = i
	}
	last := map[netip.Addr]keaLease{}
	for _, rec := range records[1:] {
		l, err := readKeaLease(rec, column)
		if err != nil {
			return held, fmt.Errorf("record %q: %w", rec, err)
		}
		last[l.Addr] = l
	}
	for _, l := range last {
		switch {
		case l.state == "1":
			held.declined = append(held.declined, l.Addr)
		case l.state == "0" && l.lifetime != "0" && time.Now().Before(l.Expires):
			held.active = append(held.active, l.Lease)
		}
	}
	return held, nil
}

type keaLease struct {
	Lease
	state, lifetime string
}

func readKeaLease(rec []string, column map[string]int) (keaLease, error) {
	field := func(name string) string {
		if i, ok := column[name]; ok && i < len(rec) {
			return rec[i]
		}
		return ""
	}
	addr, err := parseAddr(field("address"))
	if err != nil {
		return keaLease{}, err
	}
	expire, err := strconv.ParseInt(field("expire"), 10, 64)
	if err != nil {
		return keaLease{}, fmt.Errorf("expiry: %w", err)
	}
	return keaLease{state: field("state"), lifetime: field("valid_lifetime"), Lease: Lease{
		Addr: addr, MAC: strings.ToLower(field("hwaddr")), ClientID: hexID(field("client_id")), Expires: time.Unix(expire, 0),
	}}, nil
}
