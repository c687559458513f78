package guard

// Messages is how many messages the guard has sent to the kernel since it opened
// its socket.
func Messages(g *Guard) uint64 { return g.session.conn.Messages() }

// Sets are the names of all sets.
func Sets() []string {
	var names []string
	for _, s := range sets() {
		names = append(names, s.Name)
	}
	return names
}
