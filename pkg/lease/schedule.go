package lease

import (
	"container/heap"
	"time"
)

// schedule is the one heap of deadlines: nothing is parked per lease but a
// place in it. The zero value is empty.
type schedule struct{ heap entries }

// set puts the entry at its deadline, wherever it was.
func (s *schedule) set(e *entry) {
	e.at = e.deadline()
	if e.index < 0 {
		heap.Push(&s.heap, e)
		return
	}
	heap.Fix(&s.heap, e.index)
}

func (s *schedule) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(&s.heap, e.index)
	}
}

// pop takes out an entry that is due, nil if none is.
func (s *schedule) pop(now time.Duration) *entry {
	if len(s.heap) == 0 || s.heap[0].at > now {
		return nil
	}
	e, _ := heap.Pop(&s.heap).(*entry)
	return e
}

func (s *schedule) first() (time.Duration, bool) {
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.heap[0].at, true
}

// entries implements heap.Interface.
type entries []*entry

func (h *entries) Len() int           { return len(*h) }
func (h *entries) Less(i, j int) bool { return (*h)[i].at < (*h)[j].at }
func (h *entries) Swap(i, j int) {
	q := *h
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (h *entries) Push(x any) {
	e, _ := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *entries) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	e.index = -1
	*h = old[:len(old)-1]
	return e
}
