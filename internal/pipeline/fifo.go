package pipeline

// fifo is a queue whose elements have consecutive numbers.
type fifo[T any] struct {
	items []T
	head  int    // items[:head] are gone
	first uint64 // number of items[head]
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

// end is the number that the next element gets.
func (q *fifo[T]) end() uint64 { return q.first + uint64(q.len()) }

func (q *fifo[T]) push(v T) {
	if q.head > len(q.items)/2 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// at is the element of a number from first to before end.
func (q *fifo[T]) at(number uint64) *T { return &q.items[q.head+int(number-q.first)] }

func (q *fifo[T]) front() *T { return &q.items[q.head] }

func (q *fifo[T]) pop() T {
	var none T
	v := q.items[q.head]
	q.items[q.head] = none
	q.head++
	q.first++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
