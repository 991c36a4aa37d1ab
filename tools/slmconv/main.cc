int main(int argc, char** argv);
int main(int, char**) { return 0; }
