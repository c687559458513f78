package lease

// Held returns every lease that an attachment has or had: those whose ADD is
// known to have finished.
func (k *Keeper) Held() []Held {
	var all []Held
	_ = k.do(func() {
		for _, e := range k.leases {
			if !e.unsure && (e.stage == held || e.stage == lost || e.stage == returning) {
				all = append(all, k.question(e))
			}
		}
	})
	return all
}
