package guard

// Messages is how many messages the guard has sent to the kernel.
func Messages(g *Guard) uint64 { return g.messages.Load() }
