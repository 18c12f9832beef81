package httpserver

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// TestLeaders: changes of leaders are remembered with the previous leader and the reason.
func TestLeaders(t *testing.T) {
	var l Leaders
	began := time.Now()
	if all := l.Moments(began); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	l.Leads("sub-1", "a", page.Handover, began.Add(time.Second))
	l.Leads("sub-2", "a", page.Crash, began.Add(2*time.Second))
	l.Leads("sub-1", "b", page.Crash, began.Add(3*time.Second))
	all := l.Moments(began)
	if len(all) != 3 || all[0].Previous != "" || all[1].Previous != "" || all[2].Previous != "a" || all[2].Replica != "b" || all[0].Name != "" || all[1].Name != "" || all[2].Name != page.Crash {
		t.Errorf("%+v", all)
	}
	if late := l.Moments(began.Add(2 * time.Second)); len(late) != 1 || late[0].Replica != "b" {
		t.Errorf("%+v", late)
	}
	all[0].Replica = "changed" // the caller gets a copy
	if again := l.Moments(began); again[0].Replica != "a" {
		t.Error("the caller changes what is remembered")
	}
}

func TestLeadersAreBounded(t *testing.T) {
	var l Leaders
	began := time.Now()
	var telling sync.WaitGroup
	for n := range 4 {
		telling.Go(func() {
			for i := range keepMoments {
				l.Leads(fmt.Sprintf("sub-%d", n), fmt.Sprint(i), "", began.Add(time.Second))
				l.Moments(began.Add(time.Hour))
			}
		})
	}
	telling.Wait()
	if all := l.Moments(began); len(all) != keepMoments || cap(l.moments) > 4*keepMoments {
		t.Errorf("%d moments, room for %d", len(all), cap(l.moments))
	}
}

func TestHealth(t *testing.T) {
	var h Health
	if stuck := h.Stuck(time.Now()); len(stuck) != 0 {
		t.Errorf("%v before the first beat", stuck)
	}
	h.Ended("never") // does not make it known either
	h.Beat("b")
	h.Beat("a")
	now := time.Now()
	if stuck := h.Stuck(now.Add(stuckAfter - time.Second)); len(stuck) != 0 {
		t.Errorf("stuck too early: %v", stuck)
	}
	stuck := h.Stuck(now.Add(stuckAfter + time.Second))
	if len(stuck) != 2 || stuck[0] != "a for 1m1s" || stuck[1] != "b for 1m1s" {
		t.Errorf("%v", stuck)
	}
	h.Ended("a")
	if stuck := h.Stuck(now.Add(time.Hour)); len(stuck) != 1 || stuck[0] != "b for 1h0m0s" {
		t.Errorf("%v", stuck)
	}
	h.Beat("b")
	var beating sync.WaitGroup
	for n := range 8 {
		beating.Go(func() {
			for range 1000 {
				h.Beat(fmt.Sprint(n))
				h.Stuck(time.Now())
				h.Ended(fmt.Sprint(n))
			}
		})
	}
	beating.Wait()
	if stuck := h.Stuck(time.Now()); len(stuck) != 0 {
		t.Errorf("%v", stuck)
	}
}
