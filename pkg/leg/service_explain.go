package leg

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// explain turns a refusal of the kernel's into code 106 with what it takes.
// Other errors pass. Without a table, no connection could be had.
func explain(err error, t *table) error {
	var errno unix.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	return types.NewError(uint(leaseapi.CodeService), "the rules for Services could not be installed: "+err.Error(),
		remedy(errno, t)+`; or "service": {"mode": "off"}, without Services`)
}

func remedy(errno unix.Errno, t *table) string {
	switch errno {
	case unix.EPERM, unix.EACCES:
		return "it takes CAP_NET_ADMIN in this network namespace"
	case unix.EPROTONOSUPPORT:
		return "the kernel lacks nf_tables (CONFIG_NF_TABLES)"
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.ENOENT:
		if t != nil {
			return t.missing()
		}
	}
	return "see the kernel's log"
}

// missing tries the table's parts one after another, in a table that no batch
// leaves behind, and names what the first needs that the kernel refuses.
func (t *table) missing() string {
	trial := *t
	table := *t.table
	table.Name = tableName + "_trial"
	trial.table = &table
	parts := trial.parts(contents{})
	for n := range parts {
		trial.conn.AddTable(trial.table)
		for _, p := range parts[:n+1] {
			_ = p.put()
		}
		trial.conn.DelTable(trial.table)
		if trial.conn.Flush() != nil {
			return "the kernel lacks " + parts[n].needs
		}
	}
	return "see the kernel's log"
}
