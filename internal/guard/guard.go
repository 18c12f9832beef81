// Package guard refuses HTTP requests to what is for tools on this machine: those that a web page in somebody's browser
// makes, and those that come from elsewhere by way of a proxy.
package guard

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// Check says why a request is refused; nil: it is not.
type Check func(r *http.Request) error

// Handler lets those requests through that pass all checks, and answers the others with 403 and the reason.
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

// Loopback reports whether only this machine reaches an address.
func Loopback(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// ThisMachine refuses requests for another host's name: a page on the internet could have its own name resolve to this
// machine. It is for what is served on a loopback address.
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

// NoPage refuses what a web page makes a browser ask, be it the page's own host or not. An address that a person enters
// passes, as do tools.
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

// OwnPage refuses what the web page of another host, or of another port, makes a browser ask.
func OwnPage(r *http.Request) error {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "none" && site != "same-origin" {
			return errors.New("this is not for other web pages (Sec-Fetch-Site)")
		}
	}
	if len(r.Header.Values("Origin")) > 0 { // a page's own GET has none
		return errors.New("this is not for other web pages (Origin)")
	}
	return nil
}

// NoProxy refuses what a proxy passes on, as far as it says so.
func NoProxy(r *http.Request) error {
	for name := range r.Header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host":
		default:
			if !strings.HasPrefix(name, "X-Forwarded") {
				continue
			}
		}
		return errors.New("this is not served by way of a proxy (" + name + "); ask from this machine")
	}
	return nil
}
