//! The `protocol!` definition: one place gives the typed client, the server trait and its dispatch.
//!
//! ```text
//! protocol! {
//!     /// What it is for.
//!     pub protocol Counter = 40 version 1;
//!     /// What may go wrong.
//!     error CounterError {
//!         /// At its end.
//!         Overflow = 1 => "counter overflow",
//!     }
//!
//!     /// Adds to the counter; returns its value.
//!     recorded fn add(amount: u64) -> u64 = 1;
//!     /// The value.
//!     idempotent fn value() -> u64 = 2;
//! }
//! ```
//!
//! `error Name;` names an error type that exists already (made by `libipc::errors!`).
//!
//! | argument | travels as | the server's method gets |
//! |---|---|---|
//! | integers, `bool`, types that implement `Words` | words | the value |
//! | `&str` | payload | `&str` |
//! | `String`, `Vec<T>`, `Option<T>`, `Payload<T>` | payload (postcard) | the value (`T` for `Payload<T>`) |
//! | `&[u8]`, `&mut [u8]` | lease, one word for its length | `Lease<Read>`, `Lease<Write>` |
//! | `Cap` | capability | `OwnedHandle` |
//!
//! Results: one of these but references, or a tuple of them. A `Cap` result is a `Grant` to the server, an
//! `OwnedHandle` to the client.
//!
//! Invariants:
//! 1. Every operation says whether it is `idempotent` or `recorded`; numbers are unique, 1 to 255.
//! 2. What a message cannot carry (more than 8 words, 4 capabilities, 4 leases) does not compile.
//! 3. Generated code names nothing by a bare path but what the definition itself names.

mod client;
mod definition;
mod dispatch;
mod kind;
mod names;
mod server;

use proc_macro2::TokenStream;
use quote::quote;

/// Defines a protocol; see the crate's page.
#[proc_macro]
pub fn protocol(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input.into()).into()
}

fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<definition::Definition>(input) {
        Err(error) => error.to_compile_error(),
        Ok(definition) => {
            let errors = definition.error_type();
            let client = client::generate(&definition);
            let server = server::generate(&definition);
            let dispatch = dispatch::generate(&definition);
            quote! { #errors #client #server #dispatch }
        }
    }
}

#[cfg(test)]
mod tests;
