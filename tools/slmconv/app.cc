namespace slm {}
