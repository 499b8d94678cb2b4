//! The dispatch: takes a received call apart, lets the server's method answer, encodes the answer.

use crate::definition::{Definition, Op};
use crate::kind::Kind;
use crate::names;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// The type that stands for the protocol, and its dispatch.
pub fn generate(d: &Definition) -> TokenStream {
    let (vis, number, version) = (&d.vis, d.number, d.version);
    let name = format_ident!("{}Protocol", d.name);
    let server = format_ident!("{}Server", d.name);
    let doc = format!("The protocol of [`{}Client`] and [`{server}`].", d.name);
    let arms = d.operations.iter().map(|op| arm(d, op, &server));
    quote! {
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #vis struct #name;
        impl #name {
            /// Its number.
            pub const NUMBER: u16 = #number;
            /// Its version.
            pub const VERSION: u8 = #version;
        }
        impl<S: #server + ?Sized> ::libipc::server::Serves<S> for #name {
            const PROTOCOL: u16 = #number;
            #[allow(unused_mut, unused_variables)]
            fn dispatch(server: &mut S, incoming: &::libipc::endpoint::Incoming) -> ::libipc::server::Outcome {
                match incoming.operation() {
                    #(#arms)*
                    other if other >> 8 != #version as u16 => {
                        incoming.refuse(::libipc::error::Refusal::WrongVersion)
                    }
                    _ => incoming.refuse(::libipc::error::Refusal::UnknownOperation),
                }
            }
        }
    }
}

fn arm(d: &Definition, op: &Op, server: &syn::Ident) -> TokenStream {
    let (code, method) = (d.code(op), &op.name);
    let operation = names::operation(d, op);
    let (caps, leases, has_payload) = (op.caps(), op.leases(), op.has_payload());
    let malformed = quote! { return incoming.refuse_taken(::libipc::error::Refusal::Malformed) };
    // Capabilities first: before any other system call, and so that they are given up on every way out.
    let taken = op.args.iter().filter(|a| a.kind.is_cap()).enumerate().map(|(index, a)| {
        let name = &a.name;
        quote! { let #name = incoming.cap(#index); }
    });
    let present = op.args.iter().filter(|a| a.kind.is_cap()).map(|a| {
        let name = &a.name;
        quote! { if #name.handle().is_none() { #malformed } }
    });
    let payload = has_payload.then(|| {
        quote! {
            let copied = incoming.payload();
            let mut payload = ::libipc::wire::PayloadReader::new(copied.bytes());
        }
    });
    let recall = op.recorded.then(|| {
        quote! {
            if incoming.attempt() != 0 {
                if let Some(answer) = <S as #server>::recall(server, incoming.id()) {
                    return ::libipc::server::Outcome::Reply(answer.stage());
                }
            }
        }
    });
    let (places, _) = names::places(op.args.iter().map(|a| &a.kind));
    let mut lease = 0u32;
    let decoded = op.args.iter().zip(&places).map(|(arg, place)| {
        let name = &arg.name;
        match &arg.kind {
            Kind::Words(ty) => quote! {
                let Some(#name) = <#ty as ::libipc::Words>::take(incoming.words(), #place) else { #malformed };
            },
            Kind::Text => quote! { let Some(#name) = payload.text() else { #malformed }; },
            Kind::Value(ty) => quote! { let Some(#name) = payload.value::<#ty>() else { #malformed }; },
            Kind::ReadLease | Kind::WriteLease => {
                let index = lease;
                lease += 1;
                quote! { let #name = incoming.lease(#index, incoming.words()[#place]); }
            }
            Kind::Cap => TokenStream::new(),
        }
    });
    let done = has_payload.then(|| quote! { if !payload.is_done() { #malformed } });
    let args = op.args.iter().map(|a| &a.name);
    quote! {
        #code => {
            if !incoming.carries(#caps, #leases, #has_payload) {
                return incoming.refuse(::libipc::error::Refusal::Malformed);
            }
            #(#taken)*
            #(#present)*
            #payload
            #recall
            #(#decoded)*
            #done
            let cx = incoming.context();
            let result = <S as #server>::#method(server, &cx, #(#args),*);
            ::libipc::server::conclude::<#operation>(&cx, result)
        }
    }
}
