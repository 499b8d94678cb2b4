//! The client: a structure with one method for each operation.

use crate::definition::{Definition, Op};
use crate::kind::Kind;
use crate::names;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// The client's code.
pub fn generate(d: &Definition) -> TokenStream {
    let (vis, docs) = (&d.vis, &d.docs);
    let name = format_ident!("{}Client", d.name);
    let methods = d.operations.iter().map(|op| method(d, op));
    quote! {
        #(#docs)*
        ///
        /// The client. It borrows the capability by value: whoever owns the handle keeps it alive.
        #[derive(Clone, Copy, Debug)]
        #vis struct #name(::libipc::endpoint::Endpoint);
        impl #name {
            /// Calls by `queue`.
            #[inline]
            pub const fn new(queue: ::libipc::Queue) -> Self { Self(::libipc::endpoint::Endpoint::new(queue)) }
            /// The same, with calls that give up at `deadline`.
            #[inline]
            pub const fn until(self, deadline: ::libipc::sys::Deadline) -> Self { Self(self.0.until(deadline)) }
            /// The same, with calls that are delivered once at most: redelivery is off.
            #[inline]
            pub const fn once(self) -> Self { Self(self.0.once()) }
            /// The queue.
            #[inline]
            pub const fn queue(self) -> ::libipc::Queue { self.0.queue() }
            #(#methods)*
        }
    }
}

fn method(d: &Definition, op: &Op) -> TokenStream {
    let (docs, name, error) = (&op.docs, &op.name, &d.error);
    let (number, code) = (d.number, d.code(op));
    let output = names::result_type(op, Kind::client_result);
    let params = op.args.iter().map(|a| {
        let (name, ty) = (&a.name, a.kind.client_argument());
        if a.kind.is_lease() {
            quote! { mut #name: #ty }
        } else {
            quote! { #name: #ty }
        }
    });
    let encode = encode(op);
    let (leases, caps) = (op.leases(), op.caps());
    let length = if op.has_payload() {
        quote! { payload.length() }
    } else {
        quote! { 0 }
    };
    let decode = decode(op);
    let (_, sum) = names::places(op.args.iter().map(|a| &a.kind));
    quote! {
        #(#docs)*
        #[inline]
        pub fn #name(&self, #(#params),*) -> ::core::result::Result<#output, #error> {
            const _: () = assert!(::libipc::abi::MESSAGE_WORDS.checked_sub(#sum).is_some(), "the arguments need more words than a message has");
            #[allow(unused_mut)]
            let mut words = [0u64; ::libipc::abi::MESSAGE_WORDS];
            #encode
            let tag = ::libipc::abi::Tag::new(#number, #code)
                .with_payload(#length).with_caps(#caps).with_leases(#leases);
            let reply = self.0.call::<#error>(::libipc::abi::Message { tag, words })?;
            #decode
        }
    }
}

fn encode(op: &Op) -> TokenStream {
    let (places, _) = names::places(op.args.iter().map(|a| &a.kind));
    let (mut lease, mut cap) = (0usize, 0usize);
    let payload = op.has_payload().then(|| quote! { let mut payload = ::libipc::wire::PayloadWriter::new(); });
    let too_long = quote! { .ok_or(::libipc::error::Refusal::TooLong)?; };
    let steps = op.args.iter().zip(&places).map(|(arg, place)| {
        let name = &arg.name;
        match &arg.kind {
            Kind::Words(_) => quote! { ::libipc::Words::put(&#name, &mut words, #place); },
            Kind::Text => quote! { payload.bytes(#name.as_bytes()) #too_long },
            Kind::Value(_) => quote! { payload.value(#name) #too_long },
            Kind::ReadLease | Kind::WriteLease => {
                let index = lease;
                lease += 1;
                quote! { words[#place] = ::libipc::Lend::lend(&mut #name, #index); }
            }
            Kind::Cap => {
                let index = cap;
                cap += 1;
                quote! { ::libipc::page::set_cap(#index, #name); }
            }
        }
    });
    let steps: Vec<_> = steps.collect();
    // Leases last: nothing may fail between lending and the call, which takes the loan back.
    let is_lease = |i: &usize| op.args[*i].kind.is_lease();
    let order = (0..steps.len()).filter(|i| !is_lease(i)).chain((0..steps.len()).filter(is_lease));
    let steps = order.map(|i| &steps[i]);
    quote! { #payload #(#steps)* }
}

fn decode(op: &Op) -> TokenStream {
    let caps = op.outputs.iter().filter(|k| k.is_cap()).count();
    let has_payload = op.outputs.iter().any(Kind::is_payload);
    let (places, _) = names::places(op.outputs.iter());
    let bad = quote! { ::libipc::error::Refusal::BadAnswer };
    let mut cap = 0usize;
    // Capabilities first: before the next system call, and so that they are given up where the rest does not decode.
    let taken = (0..caps).map(|index| {
        let name = format_ident!("cap{index}");
        quote! { let #name = ::libipc::OwnedHandle::new(::libipc::page::received_cap(#index)); }
    });
    let payload = has_payload.then(|| {
        quote! {
            let copied = ::libipc::page::Payload::copy(reply.tag.payload());
            let mut payload = ::libipc::wire::PayloadReader::new(copied.bytes());
        }
    });
    let values: Vec<_> = op
        .outputs
        .iter()
        .zip(&places)
        .map(|(kind, place)| match kind {
            Kind::Words(ty) => quote! { <#ty as ::libipc::Words>::take(&reply.words, #place).ok_or(#bad)? },
            Kind::Cap => {
                let name = format_ident!("cap{cap}");
                cap += 1;
                quote! { #name }
            }
            _ => quote! { payload.value().ok_or(#bad)? },
        })
        .collect();
    let value = match (values.as_slice(), op.is_tuple) {
        ([], _) => quote! { () },
        ([single], false) => quote! { #single },
        _ => quote! { (#(#values,)*) },
    };
    quote! {
        if reply.tag.caps() != #caps {
            ::libipc::wire::close_received(reply.tag);
            return Err(#bad.into());
        }
        #(#taken)*
        #payload
        Ok(#value)
    }
}
