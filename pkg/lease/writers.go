package lease

import "sync"

// writers put files in place off Run's goroutine, several at once: a flush takes
// its time. What concerns one name keeps its order.
type writers struct {
	mu     sync.Mutex
	names  map[string][]job // what is to be done; the first may be under way
	flush  pool
	urgent pool // does not wait for flushes of other names
	ended  bool
	all    sync.WaitGroup
}

const flushers, hurriers = 4, 2

type job struct {
	do   func()
	pool *pool
}

// pool is an unbounded queue of names whose first job may be done: Run must
// never wait for a disk.
type pool struct {
	more  *sync.Cond
	ready []string
}

func newWriters() *writers {
	w := &writers{names: map[string][]job{}}
	w.flush.more, w.urgent.more = sync.NewCond(&w.mu), sync.NewCond(&w.mu)
	return w
}

// start begins with what add and hurry have been given so far.
func (w *writers) start() {
	for range flushers {
		w.all.Go(func() { w.work(&w.flush) })
	}
	for range hurriers {
		w.all.Go(func() { w.work(&w.urgent) })
	}
}

// add queues a job that concerns the name.
func (w *writers) add(name string, do func()) { w.queue(name, job{do: do, pool: &w.flush}) }

// hurry is add for a job that flushes nothing, and that somebody waits for.
func (w *writers) hurry(name string, do func()) { w.queue(name, job{do: do, pool: &w.urgent}) }

func (w *writers) queue(name string, j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = append(w.names[name], j)
	if len(w.names[name]) == 1 {
		j.pool.let(name)
	}
}

// let has the name's first job be done.
func (p *pool) let(name string) {
	p.ready = append(p.ready, name)
	p.more.Signal()
}

// close lets what is queued be done, and waits for it.
func (w *writers) close() {
	w.mu.Lock()
	w.ended = true
	w.wakeAll()
	w.mu.Unlock()
	w.all.Wait()
}

func (w *writers) wakeAll() {
	w.flush.more.Broadcast()
	w.urgent.more.Broadcast()
}

func (w *writers) work(p *pool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(p.ready) == 0 && (!w.ended || len(w.names) > 0) {
			p.more.Wait()
		}
		if len(p.ready) == 0 {
			return
		}
		name := p.ready[0]
		p.ready = p.ready[1:]
		do := w.names[name][0].do
		w.mu.Unlock()
		do()
		w.mu.Lock()
		w.done(name)
	}
}

// done lets the name's next job be done.
func (w *writers) done(name string) {
	left := w.names[name][1:]
	if len(left) > 0 {
		w.names[name] = left
		left[0].pool.let(name)
		return
	}
	delete(w.names, name)
	if w.ended && len(w.names) == 0 {
		w.wakeAll()
	}
}
