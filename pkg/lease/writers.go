package lease

import "sync"

// writers put files in place off Run's goroutine, a few at once: a flush takes
// its time. What concerns one name keeps its order.
type writers struct {
	lanes []*writeLane
	all   sync.WaitGroup
}

const writeLanes = 4

// writeLane is an unbounded queue with one worker: Run must never wait for a
// disk.
type writeLane struct {
	mu    sync.Mutex
	more  *sync.Cond
	jobs  []func()
	ended bool
}

func newWriters() *writers {
	w := &writers{}
	for range writeLanes {
		l := &writeLane{}
		l.more = sync.NewCond(&l.mu)
		w.lanes = append(w.lanes, l)
	}
	return w
}

// start begins with what add has been given so far.
func (w *writers) start() {
	for _, l := range w.lanes {
		w.all.Go(l.work)
	}
}

// add queues a job that concerns the name, which is hexadecimal digits.
func (w *writers) add(name string, job func()) {
	l := w.lanes[int(name[0])%len(w.lanes)]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, job)
	l.more.Signal()
}

// close lets what is queued be done, and waits for it.
func (w *writers) close() {
	for _, l := range w.lanes {
		l.mu.Lock()
		l.ended = true
		l.more.Signal()
		l.mu.Unlock()
	}
	w.all.Wait()
}

func (l *writeLane) work() {
	for {
		l.mu.Lock()
		for len(l.jobs) == 0 && !l.ended {
			l.more.Wait()
		}
		if len(l.jobs) == 0 {
			l.mu.Unlock()
			return
		}
		job := l.jobs[0]
		l.jobs = l.jobs[1:]
		l.mu.Unlock()
		job()
	}
}
