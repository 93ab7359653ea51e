//! Providers and the router against upstreams that speak the real wire format, well and badly.

mod openai;
mod router;
mod upstream;
