package guard

// Messages is how many messages the guard has sent to the kernel.
func Messages(g *Guard) uint64 { return g.messages.Load() }

// Sets are the names of all sets.
func Sets() []string {
	var names []string
	for _, s := range sets() {
		names = append(names, s.name)
	}
	return names
}
