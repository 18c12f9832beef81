// Package guard protects HTTP endpoints that are for tools on this machine. It refuses requests
// made by a web page in somebody's browser, and those that arrive through a proxy.
package guard

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// Check returns why a request is refused; nil: it is allowed.
type Check func(r *http.Request) error

// Handler passes on requests that pass all checks, and answers the others with 403 and the reason.
func Handler(next http.Handler, checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, check := range checks {
			if err := check(r); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Loopback reports whether an address can be reached from this machine only.
func Loopback(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// ThisMachine refuses requests with another host name than localhost or a loopback address: a page
// on the internet could have its own name resolve to this machine (DNS rebinding). Use it for what
// is served on a loopback address.
func ThisMachine(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("this address is for this machine only; ask for 127.0.0.1 or localhost")
}

// NoPage refuses requests that any web page makes a browser send, including pages of the same
// origin. Addresses that a person enters, and tools, pass.
func NoPage(r *http.Request) error {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "none" {
			return errors.New("this is for tools, not for web pages (Sec-Fetch-Site); enter the address in the browser, or use curl")
		}
	}
	if len(r.Header.Values("Origin")) > 0 {
		return errors.New("this is for tools, not for web pages (Origin); use curl")
	}
	return nil
}

// OwnPage refuses requests that a web page of another host or port makes a browser send.
func OwnPage(r *http.Request) error {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "none" && site != "same-origin" {
			return errors.New("this is not for other web pages (Sec-Fetch-Site)")
		}
	}
	if len(r.Header.Values("Origin")) > 0 { // GET requests from the same origin have none
		return errors.New("this is not for other web pages (Origin)")
	}
	return nil
}

// NoProxy refuses requests that arrive through a proxy, if the proxy's headers show it.
func NoProxy(r *http.Request) error {
	for name := range r.Header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host":
		default:
			if !strings.HasPrefix(name, "X-Forwarded") {
				continue
			}
		}
		return errors.New("this is not served through a proxy (" + name + "); ask from this machine")
	}
	return nil
}
