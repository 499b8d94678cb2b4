//! How an argument or a result travels.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, GenericArgument, PathArguments, Result, Type, TypePath};

/// What a type in a definition stands for.
pub enum Kind {
    /// Words in registers.
    Words(Type),
    /// `&str`, in the payload.
    Text,
    /// Any type that serde knows, in the payload.
    Value(Type),
    /// `&[u8]`.
    ReadLease,
    /// `&mut [u8]`.
    WriteLease,
    /// A capability.
    Cap,
}

impl Kind {
    /// The kind of a type as written.
    pub fn of(ty: Type) -> Result<Kind> {
        match &ty {
            Type::Reference(reference) => {
                let text = reference.elem.to_token_stream().to_string().replace(' ', "");
                match (text.as_str(), reference.mutability.is_some()) {
                    ("str", false) => Ok(Kind::Text),
                    ("[u8]", false) => Ok(Kind::ReadLease),
                    ("[u8]", true) => Ok(Kind::WriteLease),
                    _ => Err(Error::new_spanned(&ty, "a reference in a protocol is &str, &[u8] or &mut [u8]")),
                }
            }
            Type::Path(path) => Ok(Self::of_path(path, &ty)),
            _ => Err(Error::new_spanned(&ty, "no message carries this type")),
        }
    }

    fn of_path(path: &TypePath, ty: &Type) -> Kind {
        let Some(last) = path.path.segments.last() else { return Kind::Words(ty.clone()) };
        match last.ident.to_string().as_str() {
            "Cap" => Kind::Cap,
            "String" | "Vec" | "Option" => Kind::Value(ty.clone()),
            "Payload" => match &last.arguments {
                PathArguments::AngleBracketed(inner) => match inner.args.first() {
                    Some(GenericArgument::Type(inner)) => Kind::Value(inner.clone()),
                    _ => Kind::Value(ty.clone()),
                },
                _ => Kind::Value(ty.clone()),
            },
            _ => Kind::Words(ty.clone()),
        }
    }

    pub fn is_lease(&self) -> bool {
        matches!(self, Kind::ReadLease | Kind::WriteLease)
    }
    pub fn is_cap(&self) -> bool {
        matches!(self, Kind::Cap)
    }
    pub fn is_payload(&self) -> bool {
        matches!(self, Kind::Text | Kind::Value(_))
    }
    /// How many words it takes, as an expression.
    pub fn words(&self) -> TokenStream {
        match self {
            Kind::Words(ty) => quote! { <#ty as ::libipc::Words>::COUNT },
            Kind::ReadLease | Kind::WriteLease => quote! { 1usize },
            _ => quote! { 0usize },
        }
    }
    /// What the client's method takes.
    pub fn client_argument(&self) -> TokenStream {
        match self {
            Kind::Words(ty) => quote! { #ty },
            Kind::Text => quote! { &str },
            Kind::Value(ty) => quote! { &#ty },
            Kind::ReadLease => quote! { impl ::libipc::Lend<::libipc::Read> },
            Kind::WriteLease => quote! { impl ::libipc::Lend<::libipc::Write> },
            Kind::Cap => quote! { ::libipc::Grant },
        }
    }
    /// What the server's method takes.
    pub fn server_argument(&self) -> TokenStream {
        match self {
            Kind::Words(ty) | Kind::Value(ty) => quote! { #ty },
            Kind::Text => quote! { &str },
            Kind::ReadLease => quote! { ::libipc::Lease<::libipc::Read> },
            Kind::WriteLease => quote! { ::libipc::Lease<::libipc::Write> },
            Kind::Cap => quote! { ::libipc::OwnedHandle },
        }
    }
    /// What the client gets.
    pub fn client_result(&self) -> TokenStream {
        match self {
            Kind::Cap => quote! { ::libipc::OwnedHandle },
            other => other.server_argument(),
        }
    }
    /// What the server answers.
    pub fn server_result(&self) -> TokenStream {
        match self {
            Kind::Cap => quote! { ::libipc::Grant },
            other => other.server_argument(),
        }
    }
}
