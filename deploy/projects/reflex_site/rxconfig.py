"""The application is `page.page:app()`; REFLEX_API_URL says where its pages find it."""

import reflex as rx

config = rx.Config(app_name="page", plugins=[rx.plugins.RadixThemesPlugin()], disable_plugins=[rx.plugins.SitemapPlugin])
