"""How runs begin, each once, and how they are cancelled (`runs`)."""
