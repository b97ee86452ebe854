"""What goes on with images' data beside requests: imports that are worked on, uploads that nobody carries on."""
