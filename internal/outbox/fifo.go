package outbox

// fifo is a first-in, first-out queue. front and pop panic if it is empty.
type fifo[T any] struct {
	items []T
	head  int // items[:head] are gone
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

// all is the content, oldest first. It is valid until the queue changes.
func (q *fifo[T]) all() []T { return q.items[q.head:] }

func (q *fifo[T]) front() T { return q.items[q.head] }

func (q *fifo[T]) push(v T) {
	if q.head > len(q.items)/2 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) pop() T {
	var none T
	v := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
