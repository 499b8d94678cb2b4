//! The server's side: a trait with one method for each operation, and a type that stands for each operation.

use crate::definition::{Definition, Op};
use crate::kind::Kind;
use crate::names;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// The trait and the operations.
pub fn generate(d: &Definition) -> TokenStream {
    let (vis, docs) = (&d.vis, &d.docs);
    let name = format_ident!("{}Server", d.name);
    let methods = d.operations.iter().map(|op| method(d, op));
    let recall = d.operations.iter().any(|op| op.recorded).then(|| {
        quote! {
            /// The answer to call `id`, where it has taken effect in this incarnation or an earlier one. Asked for every
            /// redelivered call of a recorded operation, before its method.
            fn recall(&mut self, id: ::libipc::MessageId) -> ::core::option::Option<::libipc::answer::Answer>;
        }
    });
    let operations = d.operations.iter().map(|op| operation(d, op));
    quote! {
        #(#docs)*
        ///
        /// The server.
        #vis trait #name {
            #recall
            #(#methods)*
        }
        #(#operations)*
    }
}

fn method(d: &Definition, op: &Op) -> TokenStream {
    let (docs, name, error) = (&op.docs, &op.name, &d.error);
    let args = op.args.iter().map(|a| {
        let (name, ty) = (&a.name, a.kind.server_argument());
        quote! { #name: #ty }
    });
    let output = names::result_type(op, Kind::server_result);
    quote! {
        #(#docs)*
        fn #name(&mut self, cx: &::libipc::Context, #(#args),*)
            -> ::core::result::Result<::libipc::Reply<#output>, #error>;
    }
}

fn operation(d: &Definition, op: &Op) -> TokenStream {
    let (vis, error, number, code, recorded) = (&d.vis, &d.error, d.number, d.code(op), op.recorded);
    let name = names::operation(d, op);
    let output = names::result_type(op, Kind::server_result);
    let encode = encode(op);
    let doc = format!("The operation `{}` of [`{}Server`].", op.name, d.name);
    quote! {
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #vis struct #name;
        impl ::libipc::Operation for #name {
            const PROTOCOL: u16 = #number;
            const CODE: u16 = #code;
            const RECORDED: bool = #recorded;
            type Output = #output;
            type Error = #error;
            #[inline(always)]
            fn encode(output: &Self::Output) -> ::core::option::Option<::libipc::abi::Message> { #encode }
        }
    }
}

fn encode(op: &Op) -> TokenStream {
    let (places, sum) = names::places(op.outputs.iter());
    let caps = op.outputs.iter().filter(|k| k.is_cap()).count();
    let has_payload = op.outputs.iter().any(Kind::is_payload);
    let payload = has_payload.then(|| quote! { let mut payload = ::libipc::wire::PayloadWriter::new(); });
    let length = if has_payload {
        quote! { payload.length() }
    } else {
        quote! { 0 }
    };
    let mut cap = 0usize;
    let steps = op.outputs.iter().zip(&places).enumerate().map(|(i, (kind, place))| {
        let field = syn::Index::from(i);
        let value = if op.is_tuple {
            quote! { output.#field }
        } else {
            quote! { *output }
        };
        match kind {
            Kind::Words(_) => quote! { ::libipc::Words::put(&#value, &mut words, #place); },
            Kind::Cap => {
                let index = cap;
                cap += 1;
                quote! { ::libipc::page::set_cap(#index, #value); }
            }
            _ => quote! { payload.value(&#value)?; },
        }
    });
    quote! {
        const _: () = assert!(::libipc::abi::MESSAGE_WORDS.checked_sub(#sum).is_some(), "the results need more words than a message has");
        let _ = output;
        #[allow(unused_mut)]
        let mut words = [0u64; ::libipc::abi::MESSAGE_WORDS];
        #payload
        #(#steps)*
        let tag = ::libipc::abi::Tag::new(<Self as ::libipc::Operation>::PROTOCOL, 0).with_payload(#length).with_caps(#caps);
        Some(::libipc::abi::Message { tag, words })
    }
}
